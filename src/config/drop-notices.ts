import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import type { OutboxMessage } from '../catalog/outbox.js'
import type { Clock } from '../core/clock.js'
import { checkedNotice } from '../mail/notice.js'
import type { Arrival } from '../protocol/drop/drop.js'
import type { DropSettings } from './schema-drops.js'

export interface DropNoticeNeeds {
  /** Takes a message and is not waited for. */
  readonly put: (message: OutboxMessage) => void
  /** How people know this server; its host name where there are none. */
  readonly publicOrigins: readonly string[]
  readonly clock: Clock
}

/** Tells by mail and by a webhook what has arrived at a drop; undefined where nobody is to be told. */
export function dropNotices(
  { path: drop, notify }: DropSettings,
  { put, publicOrigins, clock }: DropNoticeNeeds,
): ((arrival: Arrival) => void) | undefined {
  if (notify === undefined) return undefined
  const server = publicOrigins[0] === undefined ? hostname() : new URL(publicOrigins[0]).host
  return ({ key, size, sha256: digest, sender }) => {
    const sha256 = Buffer.from(digest).toString('hex')
    const time = new Date(clock.now()).toISOString()
    const values = { drop, key, size: `${size.toLocaleString('en')} bytes`, sha256, sender, time, server }
    for (const to of notify.mail) put({ kind: 'mail', body: checkedNotice({ notice: 'drop', to, values }) })
    if (notify.webhook === undefined) return
    const id = `msg_${randomUUID()}`
    const data = { drop, key, size, sha256, sender, at: time }
    put({ kind: 'webhook', id, body: { hook: notify.webhook, id, type: 'drop.received', data } })
  }
}

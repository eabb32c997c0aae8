import { beforeEach, expect, it } from 'vitest'
import { openMemoryCatalog } from '../catalog/memory.js'
import { catalogOutbox } from '../catalog/outbox.js'
import type { DeadMessage, Outbox } from '../catalog/outbox.js'
import { ManualClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { openDelivery } from './deliver.js'
import type { Senders } from './deliver.js'

const log = { info: () => undefined, warn: () => undefined }
let clock: ManualClock
let outbox: Outbox
let dead: DeadMessage[]

beforeEach(() => {
  clock = new ManualClock()
  dead = []
  outbox = catalogOutbox({
    catalog: openMemoryCatalog({ clock }),
    clock,
    secret: new Uint8Array(32),
    onDead: (message) => dead.push(message),
  })
})

const deliveryOf = (senders: Senders, timeout = 60_000) => openDelivery({ outbox, senders, log, timeout })

it('keeps what nothing is configured for', async () => {
  await outbox.put({ kind: 'webhook', body: 1 })
  expect(await deliveryOf({}).now()).toEqual({ counts: { sent: 0, failed: 1 } })
  expect(await outbox.census()).toEqual({ waiting: 1, dead: 0 })
})

it('gives up what is refused for good, and only that', async () => {
  await outbox.put({ kind: 'mail', id: 'bad', body: 'bad' })
  await outbox.put({ kind: 'mail', id: 'busy', body: 'busy' })
  const sender = async (body: unknown): Promise<void> => {
    throw body === 'bad' ? new Failure('invalid', 'No such mailbox.') : new Error('away')
  }
  expect(await deliveryOf({ mail: sender }).now()).toEqual({ counts: { sent: 0, failed: 2 } })
  expect(dead).toMatchObject([{ id: 'bad', why: 'No such mailbox.' }])
})

it('waits as long as the other side asks', async () => {
  await outbox.put({ kind: 'webhook', body: 1 })
  let tries = 0
  const delivery = deliveryOf({
    webhook: async () => {
      tries += 1
      throw new Failure('unavailable', 'Later.', { retryAfterSeconds: 300 })
    },
  })
  await delivery.now()
  clock.advanceSeconds(299)
  await delivery.now()
  expect(tries).toBe(1)
  clock.advanceSeconds(1)
  await delivery.now()
  expect(tries).toBe(2)
})

it('lets nobody wait for a receiver that never answers, even one that ignores its signal', async () => {
  await outbox.put({ kind: 'webhook', id: 'hangs', body: 1 })
  await outbox.put({ kind: 'mail', id: 'works', body: 1 })
  const sent: unknown[] = []
  const delivery = deliveryOf(
    { webhook: () => new Promise(() => undefined), mail: async (body) => void sent.push(body) },
    50,
  )
  expect(await delivery.now()).toEqual({ counts: { sent: 1, failed: 1 } })
  expect(sent).toEqual([1])
  expect(await outbox.census()).toEqual({ waiting: 1, dead: 0 })
})

it('sends hundreds in one go, each once', async () => {
  for (let number = 0; number < 200; number++) await outbox.put({ kind: 'mail', body: number })
  const sent: unknown[] = []
  const mail = async (body: unknown): Promise<void> => void sent.push(body)
  await Promise.all([deliveryOf({ mail }).now(), deliveryOf({ mail }).now()])
  expect(sent).toHaveLength(200)
  expect(new Set(sent).size).toBe(200)
})

it('begins as soon as something is put, and is over when it is closed', async () => {
  const sent: unknown[] = []
  let arrived: () => void = () => undefined
  const delivery = deliveryOf({
    mail: async (body) => {
      sent.push(body)
      arrived()
    },
  })
  const first = new Promise<void>((resolve) => (arrived = resolve))
  await outbox.put({ kind: 'mail', body: 'one' })
  await first
  await delivery.close()
  await outbox.put({ kind: 'mail', body: 'two' })
  await expect(delivery.now()).rejects.toThrow('the server ends')
  expect(sent).toEqual(['one'])
})

import { Failure } from '../core/failure.js'
import { isMailbox } from './mail.js'
import type { MailTransport } from './mail.js'
import type { Templates } from './templates.js'

/** What Postern writes about, and the values that each may name. */
export const noticeValues = {
  /** An account waits for its password. */
  invitation: ['user', 'link', 'server', 'expires', 'invitedBy'],
  /** Somebody asked for a new password. */
  'password-reset': ['user', 'link', 'server', 'expires', 'address'],
  /** A password was set by a link. */
  'password-changed': ['user', 'server', 'address', 'time'],
  /** Something arrived at a drop. */
  drop: ['drop', 'key', 'size', 'sha256', 'sender', 'time', 'server'],
} as const

export type NoticeName = keyof typeof noticeValues

/** A message to be: rendered when it is sent. */
export type Notice = {
  readonly [Name in NoticeName]: {
    readonly notice: Name
    readonly to: string
    readonly values: Readonly<Record<(typeof noticeValues)[Name][number], string>>
  }
}[NoticeName]

/** The same, for the outbox, where only who has the secret of the installation can read it. Throws `invalid` for what is no mailbox. */
export function checkedNotice(notice: Notice): Notice {
  if (!isMailbox(notice.to)) throw new Failure('invalid', 'The address of a mail must be like name@example.org.')
  return notice
}

export interface NoticeSenderOptions {
  readonly transport: MailTransport
  readonly templates: Templates
}

/** Sends notices as they come out of the outbox. Throws what `MailTransport.send` throws, and `invalid` for what is none. */
export function createNoticeSender({ transport, templates }: NoticeSenderOptions): (body: unknown) => Promise<void> {
  return async (body) => {
    if (!isNotice(body)) throw new Failure('invalid', 'This message is none that is sent by mail.')
    await transport.send({ to: body.to, ...templates.render(body.notice, body.values) })
  }
}

function isNotice(body: unknown): body is Notice {
  if (typeof body !== 'object' || body === null) return false
  const { notice, to, values }: { notice?: unknown; to?: unknown; values?: unknown } = body
  return (
    typeof notice === 'string' &&
    Object.hasOwn(noticeValues, notice) &&
    typeof to === 'string' &&
    isMailbox(to) &&
    typeof values === 'object' &&
    values !== null &&
    Object.values(values).every((value) => typeof value === 'string')
  )
}

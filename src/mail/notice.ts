import type { Seal } from '../catalog/seal.js'
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

/** Links in notices open accounts: whoever reads the catalog must not read them. */
const bound = 'mail'

/** A notice as it waits in the outbox. Throws `invalid` for what is no mailbox. */
export function packNotice(notice: Notice, seal: Seal): { readonly sealed: string } {
  if (!isMailbox(notice.to)) throw new Failure('invalid', 'The address of a mail must be like name@example.org.')
  return { sealed: seal.close(JSON.stringify(notice), bound) }
}

export interface NoticeSenderOptions {
  readonly transport: MailTransport
  readonly templates: Templates
  readonly seal: Seal
}

/** Sends what `packNotice` has packed. Throws what `MailTransport.send` throws, and `invalid` for what was not packed here. */
export function createNoticeSender({
  transport,
  templates,
  seal,
}: NoticeSenderOptions): (body: unknown) => Promise<void> {
  return async (body) => {
    const notice = unpack(body, seal)
    await transport.send({ to: notice.to, ...templates.render(notice.notice, notice.values) })
  }
}

function unpack(body: unknown, seal: Seal): Notice {
  if (typeof body !== 'object' || body === null || !('sealed' in body) || typeof body.sealed !== 'string')
    throw new Failure('invalid', 'This message is none that was packed here.')
  return JSON.parse(seal.open(body.sealed, bound)) as Notice
}

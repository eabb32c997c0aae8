import { createTransport } from 'nodemailer'
import { Failure } from '../core/failure.js'
import type { Mail, MailTransport } from './mail.js'

/** A server that takes messages for others (RFC 6409). */
export interface SmtpSettings {
  readonly host: string
  readonly port: number
  /**
   * `implicit`: from the first byte on (RFC 8314). `required`: by STARTTLS (RFC 3207), or nothing is sent. `never`: readable
   * to everybody on the way.
   */
  readonly tls: 'implicit' | 'required' | 'never'
  readonly login?: { readonly user: string; readonly password: string }
}

const connectMilliseconds = 15_000
const silenceMilliseconds = 30_000

/** `from` is a mailbox, with a display name or without. A connection is opened for each message and closed after it. */
export function openSmtp({ host, port, tls, login }: SmtpSettings, from: string): MailTransport {
  const transport = createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'required',
    ignoreTLS: tls === 'never',
    ...(login && { auth: { user: login.user, pass: login.password } }),
    connectionTimeout: connectMilliseconds,
    greetingTimeout: connectMilliseconds,
    socketTimeout: silenceMilliseconds,
    // What is sent is text that was made here.
    disableFileAccess: true,
    disableUrlAccess: true,
  })
  return {
    async send({ to, subject, text, html }: Mail) {
      try {
        await transport.sendMail({ from, to, subject, text, html })
      } catch (cause) {
        throw failureOf(cause, `${host}:${port}`)
      }
    },
    close: () => transport.close(),
  }
}

/** Answers of 500 and above to a sender, a recipient or a message are final (RFC 5321 §4.2.1); a login that is refused may be mended here. */
function failureOf(cause: unknown, place: string): Failure {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  const responseCode = cause instanceof Error && 'responseCode' in cause ? cause.responseCode : undefined
  const answer = typeof responseCode === 'number' ? ` (${responseCode})` : typeof code === 'string' ? ` (${code})` : ''
  if (code === 'EAUTH')
    return new Failure('unavailable', `The mail server ${place} refuses the login${answer}. See mail.smtp.`, { cause })
  if (code === 'ETLS')
    return new Failure('unavailable', `The mail server ${place} offers no TLS that holds${answer}.`, { cause })
  const isFinal = typeof responseCode === 'number' && responseCode >= 500
  return isFinal && (code === 'EENVELOPE' || code === 'EMESSAGE')
    ? new Failure('invalid', `The mail server ${place} refuses the message${answer}.`, { cause })
    : new Failure('unavailable', `The mail server ${place} does not take messages now${answer}.`, { cause })
}

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Failure } from '../core/failure.js'
import type { MailTransport } from '../mail/mail.js'
import type { SmtpSettings } from '../mail/smtp.js'
import type { TemplateFile } from '../mail/templates.js'
import type { MailSettings } from './schema-mail.js'

/** What sends the mails of the outbox. */
export interface MailSender {
  send(body: unknown): Promise<void>
  close(): void
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Opens what `mail` of the configuration says; paths are absolute. The library is loaded at the first message. Throws
 * `invalid` for templates that cannot be read or filled in, and for a password that is missing.
 */
export async function openMailSender(settings: MailSettings, environment: Environment): Promise<MailSender> {
  const { createTemplates } = await import('../mail/templates.js')
  const { createNoticeSender } = await import('../mail/notice.js')
  const templates = createTemplates(settings.templates === undefined ? [] : templateFiles(settings.templates))
  const smtp = settings.smtp && smtpSettings(settings.smtp, environment)
  let opening: Promise<MailTransport> | undefined
  const transport: MailTransport = {
    async send(mail) {
      opening ??= openTransport(settings, smtp, environment)
      await (await opening).send(mail)
    },
    close: () => void opening?.then((opened) => opened.close(), () => undefined), // prettier-ignore
  }
  return { send: createNoticeSender({ transport, templates }), close: () => transport.close() }
}

async function openTransport(
  { from, ses }: MailSettings,
  smtp: SmtpSettings | undefined,
  environment: Environment,
): Promise<MailTransport> {
  if (smtp !== undefined) return (await import('../mail/smtp.js')).openSmtp(smtp, from)
  const region = ses?.region ?? environment.AWS_REGION ?? environment.AWS_DEFAULT_REGION
  if (region === undefined) throw new Failure('unavailable', 'mail: name the region of SES: ses: { region: … }')
  const { createAwsClient } = await import('../store/aws/aws-client.js')
  const { createCredentials } = await import('../store/aws/credentials.js')
  const { openSes } = await import('../mail/ses.js')
  const client = createAwsClient({
    endpoint: new URL(ses?.endpoint ?? `https://email.${region}.amazonaws.com`),
    region,
    service: 'ses',
    title: 'SES',
    codeOf: (_bytes, headers) => /^[A-Za-z]+/.exec(headers['x-amzn-errortype']?.toString() ?? '')?.[0],
    credentials: createCredentials({ settings: {}, region }),
  })
  return openSes(client, from)
}

function smtpSettings(
  { url: text, password, tls }: NonNullable<MailSettings['smtp']>,
  environment: Environment,
): SmtpSettings {
  const url = new URL(text)
  const implicit = url.protocol === 'smtps:'
  const user = decodeURIComponent(url.username)
  const given = password === undefined ? decodeURIComponent(url.password) : passwordOf(password, environment)
  if (user !== '' && given === '')
    throw new Failure('invalid', `mail.smtp: the user ${user} has no password: password: { env: NAME }`)
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (implicit ? 465 : 587) : Number(url.port),
    tls: implicit ? 'implicit' : tls,
    ...(user !== '' && { login: { user, password: given } }),
  }
}

function passwordOf(
  setting: NonNullable<NonNullable<MailSettings['smtp']>['password']>,
  environment: Environment,
): string {
  if (typeof setting === 'string') return setting
  if ('env' in setting) return environment[setting.env] ?? ''
  return read(setting.file, 'mail.smtp.password').trim()
}

function templateFiles(folder: string): readonly TemplateFile[] {
  let names: readonly string[]
  try {
    names = readdirSync(folder)
  } catch (cause) {
    throw unreadable('mail.templates', folder, cause)
  }
  return names
    .filter((name) => /\.(?:txt|html)$/.test(name))
    .map((name) => ({ name, content: read(join(folder, name), 'mail.templates') }))
}

function read(path: string, key: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw unreadable(key, path, cause)
  }
}

function unreadable(key: string, path: string, cause: unknown): Failure {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
  return new Failure('invalid', `${key}: ${path} cannot be read (${code}).`, { cause })
}

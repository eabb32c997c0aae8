import { resolve } from 'node:path'
import { z } from 'zod'
import { isMailbox, mailboxOf } from '../mail/mail.js'
import { objectOf, oneOf, text } from './schema-parts.js'

const sender = text.refine(
  (value) => isMailbox(mailboxOf(value)),
  'must be like files@example.org or "Files <files@example.org>"',
)

const smtpUrl = text.refine(
  (value) => URL.canParse(value) && /^smtps?:$/.test(new URL(value).protocol) && new URL(value).hostname !== '',
  'must be like smtp://USER@HOST:587 (TLS by STARTTLS) or smtps://USER@HOST:465',
)

const password = z.union([text, objectOf({ env: text }), objectOf({ file: text })], {
  error: 'must be text, { env: NAME } or { file: FILE }',
})

const smtp = z.preprocess(
  (value) => (typeof value === 'string' ? { url: value } : value),
  objectOf({ url: smtpUrl, password: password.optional(), tls: oneOf('required', 'never').default('required') }),
)

const ses = objectOf({ region: text.regex(/^[a-z0-9-]{1,63}$/, 'must be like eu-central-1').optional(), endpoint: text.optional() }) // prettier-ignore

/** Who sends mail, and by which server. */
export const mail = objectOf({ from: sender, smtp: smtp.optional(), ses: ses.optional(), templates: text.optional() })
  .refine(({ smtp: one, ses: other }) => (one === undefined) !== (other === undefined), 'needs one of smtp and ses')
  .optional()

export type MailSettings = NonNullable<z.output<typeof mail>>

/** The same, with files and folders as absolute paths. */
export function mailSettings(setting: MailSettings, directory: string): MailSettings {
  const { smtp, templates } = setting
  const password = smtp?.password
  return {
    ...setting,
    ...(templates !== undefined && { templates: resolve(directory, templates) }),
    ...(smtp !== undefined &&
      typeof password === 'object' &&
      'file' in password && { smtp: { ...smtp, password: { file: resolve(directory, password.file) } } }),
  }
}

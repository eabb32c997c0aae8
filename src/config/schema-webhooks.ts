import { resolve } from 'node:path'
import { z } from 'zod'
import { folder } from './schema-stores.js'
import { listOf, objectOf, oneOf, text } from './schema-parts.js'

const webhookSecret = text.regex(
  /^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/,
  'must be like whsec_BASE64 with 24 to 64 bytes (echo "whsec_$(openssl rand -base64 32)")',
)

const secret = z.union([webhookSecret, objectOf({ env: text }), objectOf({ file: text })], {
  error: 'must be whsec_BASE64, { env: NAME } or { file: FILE }',
})

const url = text.refine(
  (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol) && new URL(value).username === '',
  'must be like https://hooks.example.org/files',
)

/** Who is told of changes by requests of ours. */
export const webhooks = listOf(
  objectOf({
    name: text.regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be of letters, digits, _ and -'),
    url,
    secret,
    below: folder.default('/'),
    kinds: listOf(oneOf('created', 'changed', 'removed', 'moved')).default([]),
  }),
)
  .refine((hooks) => new Set(hooks.map(({ name }) => name)).size === hooks.length, 'must have different names')
  .default([])

export type WebhookSettings = z.output<typeof webhooks>

/** The same, with files as absolute paths. */
export function webhookSettings(settings: WebhookSettings, directory: string): WebhookSettings {
  return settings.map((hook) =>
    typeof hook.secret === 'object' && 'file' in hook.secret
      ? { ...hook, secret: { file: resolve(directory, hook.secret.file) } }
      : hook,
  )
}

import { readFileSync } from 'node:fs'
import type { Outbox } from '../catalog/outbox.js'
import { createWebhookReports } from '../catalog/webhook-reports.js'
import type { WebhookReports } from '../catalog/webhook-reports.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import type { Sender } from '../jobs/deliver.js'
import { readEnvironment } from './environment.js'
import type { WebhookSettings } from './schema-webhooks.js'

/** What is put into the outbox of changes; undefined where no webhook is configured. */
export function webhookReportsOf(
  settings: WebhookSettings,
  outbox: Pick<Outbox, 'put'>,
  warn: (facts: object, message: string) => void,
): WebhookReports | undefined {
  if (settings.length === 0) return undefined
  return createWebhookReports({
    hooks: settings.map(({ name, below, kinds }) => ({ name, below: toPath(below), kinds })),
    outbox,
    onLost: (err, lost) => warn({ err, lost }, 'changes could not be kept for a webhook'),
  })
}

/** What sends them; its part of the program is loaded with the first. Throws `invalid` for a secret that is missing. */
export function webhookSenderOf(settings: WebhookSettings): Sender | undefined {
  if (settings.length === 0) return undefined
  const targets = settings.map(({ name, url, secret }) => ({ name, url, secret: secretOf(name, secret) }))
  const loaded = async (): Promise<Sender> => {
    const { createWebhookSender } = await import('../jobs/webhook.js')
    return createWebhookSender(targets, () => systemClock.now())
  }
  let sender: Promise<Sender> | undefined
  return async (body, signal) => {
    sender ??= loaded()
    await (
      await sender
    )(body, signal)
  }
}

function secretOf(name: string, setting: WebhookSettings[number]['secret']): Uint8Array {
  const text =
    typeof setting === 'string' ? setting : 'env' in setting ? readEnvironment()[setting.env] : read(setting.file)
  const base64 = /^whsec_([A-Za-z0-9+/]{32,88}={0,2})$/.exec(text?.trim() ?? '')?.[1]
  if (base64 === undefined)
    throw new Failure('invalid', `webhooks: the secret of ${name} must be like whsec_BASE64, with 24 to 64 bytes.`)
  return Buffer.from(base64, 'base64')
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new Failure('invalid', `webhooks: the secret ${path} cannot be read.`, { cause })
  }
}

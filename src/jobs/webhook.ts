import { createHmac } from 'node:crypto'
import type { WebhookBody } from '../catalog/webhook-reports.js'
import { Failure } from '../core/failure.js'

/** Where a webhook goes. */
export interface WebhookTarget {
  readonly name: string
  readonly url: string
  /** Signs what is sent. */
  readonly secret: Uint8Array
}

const patienceMilliseconds = 30_000
const mostRetryAfterSeconds = 3600

/**
 * Sends what waits for webhooks: `POST` with a JSON body `{ type, timestamp, data }`, signed as Standard Webhooks 1.0 has it
 * (`webhook-id`, `webhook-timestamp`, `webhook-signature: v1,BASE64`). Any 2xx is an answer. Throws `invalid` for 410, and for
 * a webhook that is not in the configuration any more: then there is no other try; `unavailable` for everything else, redirects too.
 */
export function createWebhookSender(
  targets: readonly WebhookTarget[],
  now: () => number,
): (body: unknown, signal: AbortSignal) => Promise<void> {
  return async (body, signal) => {
    if (!isWebhookBody(body)) throw new Failure('invalid', 'This message is none for a webhook.')
    const target = targets.find(({ name }) => name === body.hook)
    if (target === undefined) throw new Failure('invalid', `There is no webhook ${body.hook} any more.`)
    const timestamp = Math.floor(now() / 1000)
    const { id, type, data } = body
    const text = JSON.stringify({ type, timestamp: new Date(timestamp * 1000).toISOString(), data })
    let answer: Response
    try {
      answer = await fetch(target.url, {
        method: 'POST',
        body: text,
        redirect: 'manual',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'Postern',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signature(target.secret, id, timestamp, text),
        },
        signal: AbortSignal.any([signal, AbortSignal.timeout(patienceMilliseconds)]),
      })
      await answer.body?.cancel()
    } catch (cause) {
      throw new Failure('unavailable', `The webhook ${target.name} cannot be reached.`, { cause })
    }
    if (answer.ok) return
    const said = `The webhook ${target.name} answers ${answer.status}.`
    if (answer.status === 410) throw new Failure('invalid', said)
    const seconds = Number(answer.headers.get('retry-after') ?? '')
    throw new Failure('unavailable', said, {
      ...(seconds > 0 && { retryAfterSeconds: Math.min(seconds, mostRetryAfterSeconds) }),
    })
  }
}

/** As Standard Webhooks has it: HMAC-SHA256 over id, time and body. */
export function signature(secret: Uint8Array, id: string, timestamp: number, body: string): string {
  return `v1,${createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')}`
}

function isWebhookBody(body: unknown): body is WebhookBody {
  if (typeof body !== 'object' || body === null) return false
  const { hook, id, type }: { hook?: unknown; id?: unknown; type?: unknown } = body
  return typeof hook === 'string' && typeof id === 'string' && typeof type === 'string' && 'data' in body
}

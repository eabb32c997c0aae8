import type { DueMessage, Outbox, OutboxKind } from '../catalog/outbox.js'
import { Failure, isFailure } from '../core/failure.js'
import type { Job, JobReport } from './job.js'
import type { JobLog } from './runner.js'

/**
 * Sends one message. Resolves when it is the receiver's. Throws `invalid` where no further try would be any better; what
 * else it throws is tried again, after `retryAfterSeconds` of a failure at the earliest.
 */
export type Sender = (body: unknown, signal: AbortSignal) => Promise<void>

export type Senders = { readonly [Kind in OutboxKind]?: Sender }

/** What sends the messages of an outbox. */
export interface Delivery {
  /** Sends what is due. One at a time: whoever asks while it goes on gets a run behind it. */
  now(signal?: AbortSignal): Promise<JobReport>
  /** No more of it; resolves when what is being sent has ended or was given up. */
  close(): Promise<void>
}

export interface DeliveryOptions {
  readonly outbox: Outbox
  readonly senders: Senders
  readonly log: JobLog
  /** For one message, in milliseconds; a minute by default. */
  readonly timeout?: number
}

const atOnce = 16
const defaultTimeout = 60_000

/** Sends each message in the background as soon as it is put, and all that are due when asked. */
export function openDelivery({ outbox, senders, log, timeout = defaultTimeout }: DeliveryOptions): Delivery {
  const closing = new AbortController()
  let running: Promise<unknown> = Promise.resolve()
  let isAwaited = false

  async function attempt({ id, kind, body, attempts }: DueMessage, signal: AbortSignal): Promise<boolean> {
    const send = senders[kind]
    try {
      if (send === undefined) throw new Failure('unavailable', `nothing is configured that sends a ${kind}`)
      const end = AbortSignal.any([signal, AbortSignal.timeout(timeout)])
      await endedBy(send(body, end), end)
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      log.warn({ kind, id, attempts: attempts + 1, why }, 'a message could not be sent')
      const after = isFailure(error) ? error.retryAfterSeconds : undefined
      await outbox.failed(id, why, {
        permanent: isFailure(error, 'invalid'),
        ...(after !== undefined && { retryAfterSeconds: after }),
      })
      return false
    }
    await outbox.done(id)
    return true
  }

  async function all(signal: AbortSignal): Promise<JobReport> {
    let sent = 0
    let failed = 0
    for (;;) {
      signal.throwIfAborted()
      const due = await outbox.due(atOnce)
      const results = await Promise.allSettled(due.map((message) => attempt(message, signal)))
      for (const result of results) {
        if (result.status === 'rejected') throw asError(result.reason)
        if (result.value) sent += 1
        else failed += 1
      }
      if (due.length < atOnce) return { counts: { sent, failed } }
    }
  }

  function now(signal?: AbortSignal): Promise<JobReport> {
    const end = signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal])
    const next = running.then(() => all(end))
    running = next.catch(() => undefined)
    return next
  }

  const stopListening = outbox.onPut(() => {
    if (isAwaited || closing.signal.aborted) return
    isAwaited = true
    running = running
      .then(() => {
        isAwaited = false
        return all(closing.signal)
      })
      .catch((err: unknown) => {
        if (!closing.signal.aborted) log.warn({ err }, 'messages wait, for the outbox cannot be read')
      })
  })

  return {
    now,
    async close() {
      stopListening()
      closing.abort(new Error('the server ends'))
      await running
    },
  }
}

/** `deliver`: sends what waits in the outbox. */
export function deliverJob(delivery: Delivery, outbox: Pick<Outbox, 'hasDue'>): Job {
  return {
    name: 'deliver',
    everySeconds: 10,
    wanted: () => outbox.hasDue(),
    run: (signal) => delivery.now(signal),
  }
}

/** The same, but no longer than the signal says. */
async function endedBy(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let told: (() => void) | undefined
  const ended = new Promise<never>((_resolve, reject) => {
    told = () => reject(asError(signal.reason))
    if (signal.aborted) told()
    else signal.addEventListener('abort', told, { once: true })
  })
  try {
    await Promise.race([work, ended])
  } finally {
    if (told !== undefined) signal.removeEventListener('abort', told)
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

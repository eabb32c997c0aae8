import { Failure } from '../core/failure.js'
import type { Body } from './store.js'

/** Throws what the `Store` contract wants of an aborted signal: its reason where that is a `Failure`, else `incomplete`. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortFailure(signal)
}

/** The same chunks, given up as soon as the signal aborts, even while the next one is awaited. */
export async function* untilAborted(body: Body, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  if (signal === undefined) {
    yield* body
    return
  }
  const chunks = body[Symbol.asyncIterator]()
  let giveUp: (() => void) | undefined
  const onAbort = (): void => giveUp?.()
  signal.addEventListener('abort', onAbort)
  let open = true
  try {
    for (;;) {
      throwIfAborted(signal)
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        giveUp = () => {
          reject(abortFailure(signal))
        }
        chunks.next().then(resolve, reject)
      })
      if (next.done === true) {
        open = false
        return
      }
      yield next.value
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    // A generator that still waits for a chunk answers `return` only after it, so nobody waits for that answer here.
    if (open) chunks.return?.().catch(() => undefined)
  }
}

function abortFailure(signal: AbortSignal): Failure {
  const reason: unknown = signal.reason
  return reason instanceof Failure ? reason : new Failure('incomplete', 'The request was given up.', { cause: reason })
}

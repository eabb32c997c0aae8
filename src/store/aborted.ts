import { Failure } from '../core/failure.js'

/** Throws what the `Store` contract wants of an aborted signal: its reason where that is a `Failure`, else `incomplete`. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return
  const reason: unknown = signal.reason
  throw reason instanceof Failure ? reason : new Failure('incomplete', 'The request was given up.', { cause: reason })
}

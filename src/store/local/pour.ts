import { AbortableChunks } from '../aborted.js'
import type { Digester } from '../digester.js'
import { wrongLength } from '../refusals.js'
import type { Body, Digests, WriteOptions } from '../store.js'

/** Written, or sent, where it was read: a system call costs less than a trip to the thread pool. */
export const smallBytes = 64 * 1024

/** Collected before a large body gets a file, and then written at a time. */
export const firstBytes = 256 * 1024
const batchBytes = 1024 * 1024

/** What takes the bytes of a file in order. */
export interface Taker {
  /** One call at a time. */
  append(chunks: readonly Uint8Array[]): Promise<void>
  /** The same at once, for at most `smallBytes`. */
  appendSync?(chunks: readonly Uint8Array[]): void
}

/** Where the bytes of a body go. */
export interface Taking {
  /** Gives what takes the bytes, which is made when the first ones are there. */
  readonly open: () => Taker | Promise<Taker>
  /** Takes all the bytes of a small file instead. */
  readonly keep?: (chunks: readonly Uint8Array[]) => void
}

/** Writes a body in large batches with one write under way while the next is collected. Gives its bytes. */
export async function pour(
  body: Body,
  { open, keep }: Taking,
  digester: Digester | undefined,
  { length, signal }: Pick<WriteOptions, 'length' | 'signal'>,
): Promise<number> {
  let size = 0
  let pending: Uint8Array[] = []
  let pendingBytes = 0
  let limit = firstBytes
  let writing: Promise<void> | undefined
  const chunks = new AbortableChunks(body, signal)
  try {
    for (;;) {
      const next = await chunks.next()
      if (next.done === true) break
      const chunk = next.value
      size += chunk.length
      if (length !== undefined && size > length) throw wrongLength()
      digester?.update(chunk)
      pending.push(chunk)
      pendingBytes += chunk.length
      if (pendingBytes < limit) continue
      await writing
      writing = appendTo(open, pending)
      // Looked at before the next write; without this a failure meanwhile would count as unhandled.
      writing.catch(() => undefined)
      pending = []
      pendingBytes = 0
      limit = batchBytes
    }
    await writing
    if (size <= smallBytes && keep !== undefined) keep(pending)
    else if (size <= smallBytes || pendingBytes > 0) await appendTo(open, pending)
    return size
  } finally {
    chunks.end()
    // The descriptor must not be closed, and its number used again, under a write.
    await writing?.catch(() => undefined)
  }
}

async function appendTo(open: Taking['open'], chunks: readonly Uint8Array[]): Promise<void> {
  const opened = open()
  const taker = opened instanceof Promise ? await opened : opened
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  if (bytes <= smallBytes && taker.appendSync !== undefined) taker.appendSync(chunks)
  else await taker.append(chunks)
}

/** The computed digests, and those that the maker of the body knows, which is asked now. */
export function digestsOf(
  digester: Digester | undefined,
  { knownDigests }: Pick<WriteOptions, 'knownDigests'>,
): Digests {
  const computed = digester?.digests() ?? {}
  return knownDigests === undefined ? computed : { ...computed, ...knownDigests() }
}

import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../../store/aborted.js'
import { pour } from '../../store/local/pour.js'
import { requireAttributes } from '../../store/local/write.js'
import { wrongLength } from '../../store/refusals.js'
import type { Body, Piece, WriteOptions, Written } from '../../store/store.js'
import type { Head } from '../wire/link.js'
import { encodeWriteOptions } from '../write-head.js'
import type { Peer, RemoteMount } from './peer.js'
import { asOne, Deposit } from './write-deposit.js'
import type { LastWord } from './write-last-word.js'
import { finish, withLastWord } from './write.js'

/**
 * `Store.assemble` by the process of a user, which copies the pieces of files by itself. Digests run over all pieces, so
 * it computes them too, and is sent the bodies in messages then.
 */
export async function assembleRemote(
  mount: RemoteMount,
  path: StorePath,
  pieces: readonly Piece[],
  options: WriteOptions = {},
): Promise<Written> {
  throwIfAborted(options.signal)
  requireAttributes(path, options.attributes)
  return await withLastWord(mount, options, async (peer, word) => {
    const size = new Total(options.length)
    const answered = await bring(peer, word, path, mount.mount, pieces, options, size)
    const digests = word.allDigests(answered.digests)
    if (digests === undefined) throw peer.distrust('digests that are none')
    return await finish(peer, word, path, answered, { size: size.bytes, digests })
  })
}

/** Bytes of all pieces up to some place. */
class Total {
  readonly #length: number | undefined
  bytes = 0

  constructor(length: number | undefined) {
    this.#length = length
  }

  /** For the next body. */
  get left(): Pick<WriteOptions, 'length'> {
    return this.#length === undefined ? {} : { length: this.#length - this.bytes }
  }

  /** Throws `incomplete`. */
  requireAll(): void {
    if (this.#length !== undefined && this.bytes !== this.#length) throw wrongLength()
  }
}

/** Brings the bodies of all pieces; gives the last answer. */
async function bring(
  peer: Peer,
  word: LastWord,
  path: StorePath,
  mount: number,
  pieces: readonly Piece[],
  options: WriteOptions,
  total: Total,
): Promise<Head> {
  const { signal, digests = [] } = options
  const deposit = new Deposit(peer, word.op, path, digests.length === 0)
  const lastBody = pieces.findLastIndex((piece) => 'body' in piece)
  if (lastBody === -1) word.expect({ size: pieces.reduce((sum, piece) => sum + lengthOf(piece), 0) })
  let isBegun = false
  try {
    const begun = await deposit.begin(
      'assemble-begin',
      {
        mount,
        path,
        pieces: pieces.map((piece) => ('body' in piece ? null : { from: piece.from, ...piece.range })),
        options: encodeWriteOptions(options),
        digests,
        asks: word.isNeeded,
      },
      signal,
    )
    isBegun = true
    let last: { readonly size: number; readonly bytes: Uint8Array } | undefined
    for (const [index, piece] of pieces.entries()) {
      if (!('body' in piece)) total.bytes += lengthOf(piece)
      else if (index === lastBody) last = await bringLast(deposit, piece.body, options, total)
      else {
        const size = await pour(piece.body, { open: deposit.open }, undefined, { ...options, ...total.left })
        total.bytes += size
        await deposit.next(size)
      }
    }
    if (last === undefined) return begun
    total.requireAll()
    throwIfAborted(signal)
    word.expect({ size: total.bytes })
    return await deposit.commit(last.size, last.bytes, word.isNeeded, signal)
  } catch (error) {
    if (isBegun || signal?.aborted === true) await deposit.abandon()
    throw error
  } finally {
    deposit.end()
  }
}

/** Of a piece of a file. */
function lengthOf(piece: Piece): number {
  return 'body' in piece ? 0 : piece.range.end - piece.range.start
}

async function bringLast(
  deposit: Deposit,
  body: Body,
  options: WriteOptions,
  total: Total,
): Promise<{ readonly size: number; readonly bytes: Uint8Array }> {
  let kept: readonly Uint8Array[] = []
  const keep = (chunks: readonly Uint8Array[]): void => void (kept = chunks)
  const size = await pour(body, { open: deposit.open, keep }, undefined, { ...options, ...total.left })
  total.bytes += size
  return { size, bytes: asOne(kept) }
}

import { Failure, isFailure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { Body, ByteRange, Piece, WriteOptions, Written } from '../store.js'
import { busy } from './commit.js'
import { requestsAtOnce, type S3Context } from './context.js'
import { type FoundFile, findFile, type TargetPresent } from './look.js'
import type { ObjectSink } from './object-sink.js'
import { smallBytes } from './part-sizes.js'
import type { PartSource } from './service.js'
import { makeObject } from './write.js'

/** What an object is put together of: parts of others, as they were seen, and new bytes. */
export type Ingredient = PartSource | { readonly body: Body }

/**
 * `Store.assemble`. The service copies what is large; pieces below 5 MiB go through memory, and so does all where there is
 * little of it. Where digests are asked for every byte is read. A file that becomes one of its own pieces is replaced only
 * while it is the one that the pieces were taken of.
 */
export async function assembleObject(
  context: S3Context,
  to: StorePath,
  pieces: readonly Piece[],
  options: WriteOptions = {},
): Promise<Written> {
  throwIfAborted(options.signal)
  const sources = await findSources(context, pieces, options.signal)
  const ingredients = pieces.map((piece): Ingredient => {
    if ('body' in piece) return piece
    const { key, facts } = sources.get(piece.from) ?? gone(piece.from)
    return { key, etag: facts.etag, range: requireRange(piece.from, piece.range, facts.size) }
  })
  const own = sources.get(to)
  return await makeObject(context, to, options, {
    fill: (sink) => compose(sink, ingredients, options.length),
    ...(own === undefined ? {} : { judge: (present) => requireSame(own, present) }),
  })
}

/** Puts all of it into a sink, in order. Throws `unavailable` where an object to copy from is another by now. */
export async function compose(sink: ObjectSink, ingredients: readonly Ingredient[], length?: number): Promise<void> {
  const inMemory = (length ?? totalOf(ingredients)) <= smallBytes
  for (const ingredient of ingredients) {
    if ('body' in ingredient) {
      await sink.append(ingredient.body)
      continue
    }
    try {
      await sink.appendRange(ingredient, { inMemory })
    } catch (error) {
      throw isFailure(error, 'precondition', 'not-found') ? busy(error) : error
    }
  }
}

/** Throws `bad-range` for a range that does not lie within a file of that size. */
export function requireRange(from: StorePath, range: ByteRange, size: number): ByteRange {
  if (range.start >= 0 && range.end >= range.start && range.end <= size) return range
  throw new Failure('bad-range', 'The range does not lie within the file.', { path: from, size })
}

/** Bytes of all; infinite where a body does not say. */
function totalOf(ingredients: readonly Ingredient[]): number {
  return ingredients.reduce((sum, each) => sum + ('body' in each ? Infinity : each.range.end - each.range.start), 0)
}

async function findSources(
  context: S3Context,
  pieces: readonly Piece[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<StorePath, FoundFile>> {
  const paths = [...new Set(pieces.flatMap((piece) => ('from' in piece ? [piece.from] : [])))]
  const found = new Map<StorePath, FoundFile>()
  for (let at = 0; at < paths.length; at += requestsAtOnce) {
    const some = paths.slice(at, at + requestsAtOnce)
    const files = await Promise.allSettled(some.map((path) => findFile(context, path, signal)))
    for (const [index, file] of files.entries()) {
      const path = some[index]
      if (file.status === 'rejected') throw file.reason
      if (path !== undefined) found.set(path, file.value)
    }
  }
  return found
}

function requireSame({ facts }: FoundFile, present: TargetPresent | undefined): void {
  if (present?.etag !== facts.etag) throw busy(new Error('The file that was built upon is another by now.'))
}

function gone(path: StorePath): never {
  throw new Failure('not-found', 'There is nothing of that name.', { path })
}

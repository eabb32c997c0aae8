import { Failure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import type { Entry, ListOptions } from '../../store/store.js'
import { compileGlob, literalPrefix } from './listing-glob.js'
import type { Glob } from './listing-glob.js'

/** What a listing is asked to show. */
export interface ListingQuery {
  /** undefined: as the form of the answer has it. */
  readonly depth: 1 | 'infinity' | undefined
  readonly glob: Glob | undefined
  /** A path as text that all matches of the glob begin with, relative to the directory. */
  readonly globPrefix: string
  readonly excludePrefix: string | undefined
}

/** An entry and its name relative to the listed directory. */
export interface Listed {
  readonly entry: Entry
  readonly name: string
}

const longestPattern = 1024

/**
 * Reads `depth` (`1` or `infinity`), `glob` (`*` and `?` within a segment, `**` for any number of segments, from the
 * listed directory) and `exclude_prefix` (of the relative name). Other parameters are not ours. Throws `invalid`.
 */
export function parseListingQuery(query: URLSearchParams): ListingQuery {
  const depth = query.get('depth')
  if (depth !== null && depth !== '1' && depth !== 'infinity')
    throw new Failure('invalid', 'The depth of a listing is `1` or `infinity`.')
  const glob = pattern(query, 'glob')
  return {
    depth: depth === null ? undefined : depth === '1' ? 1 : 'infinity',
    glob: glob === undefined ? undefined : compileGlob(glob),
    globPrefix: glob === undefined ? '' : literalPrefix(glob),
    excludePrefix: pattern(query, 'exclude_prefix'),
  }
}

/** What to ask of the store for such a listing. */
export function listOptionsOf(directory: StorePath, query: ListingQuery, depth: 1 | 'infinity'): ListOptions {
  if (query.globPrefix === '') return { depth }
  return { depth, prefix: (directory === '/' ? '/' : directory + '/') + query.globPrefix }
}

/** The entries that a listing shows, batch by batch. */
export async function* select(
  batches: AsyncIterable<readonly Entry[]>,
  directory: StorePath,
  { glob, excludePrefix }: ListingQuery,
): AsyncGenerator<readonly Listed[]> {
  const skip = directory === '/' ? 1 : directory.length + 1
  for await (const batch of batches) {
    const listed: Listed[] = []
    for (const entry of batch) {
      const name = entry.path.slice(skip)
      if (excludePrefix !== undefined && name.startsWith(excludePrefix)) continue
      if (glob === undefined || glob(name)) listed.push({ entry, name })
    }
    if (listed.length > 0) yield listed
  }
}

function pattern(query: URLSearchParams, name: string): string | undefined {
  const text = query.get(name)
  if (text === null || text === '') return undefined
  if (text.length > longestPattern) throw new Failure('invalid', `The parameter ${name} is too long.`)
  const plain = text.startsWith('/') ? text.slice(1) : text
  return plain === '' ? undefined : plain.normalize('NFC')
}

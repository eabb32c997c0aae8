import type { StorePath } from '../../core/path.js'
import { quoteEntityTag } from '../entity-tag.js'
import { isKnownTime } from '../known-time.js'
import type { Listed } from './listing-query.js'
import { inPieces } from './pieces.js'

/** `{"path","entries":[{"name","type","size","modified","etag"}]}`: times in ISO 8601 where they are known, etags as in `ETag`, one entry per line. */
export function jsonListing(
  batches: AsyncIterable<readonly Listed[]>,
  directory: StorePath,
): AsyncGenerator<Uint8Array> {
  return inPieces(parts(batches, directory))
}

async function* parts(batches: AsyncIterable<readonly Listed[]>, directory: StorePath): AsyncGenerator<string> {
  yield `{"path":${JSON.stringify(directory)},"entries":[`
  let separator = '\n'
  for await (const batch of batches) {
    let text = ''
    for (const { entry, name } of batch) {
      const { kind, size, modified, etag } = entry
      const time = isKnownTime(entry) ? `"modified":"${isoTime(modified)}",` : ''
      text += `${separator}{"name":${JSON.stringify(name)},"type":"${kind}","size":${size},${time}"etag":${JSON.stringify(quoteEntityTag(etag))}}`
      separator = ',\n'
    }
    yield text
  }
  yield '\n]}\n'
}

/** A time in ISO 8601, UTC; times that a Date cannot hold show as the epoch. */
export function isoTime(milliseconds: number): string {
  const date = new Date(milliseconds)
  return Number.isNaN(date.getTime()) ? '1970-01-01T00:00:00.000Z' : date.toISOString()
}

import type { Listed } from './listing-query.js'
import { inPieces } from './pieces.js'

/**
 * One key per line, relative to the directory. Directories are shown, with a slash behind them, only when `directories`.
 * A name that a line cannot hold (control characters, or a leading quote) is written as a JSON string.
 */
export function textListing(
  batches: AsyncIterable<readonly Listed[]>,
  directories: boolean,
): AsyncGenerator<Uint8Array> {
  return inPieces(lines(batches, directories))
}

async function* lines(batches: AsyncIterable<readonly Listed[]>, directories: boolean): AsyncGenerator<string> {
  for await (const batch of batches) {
    let text = ''
    for (const { entry, name } of batch) {
      if (entry.kind === 'file') text += lineOf(name) + '\n'
      else if (directories) text += lineOf(name + '/') + '\n'
    }
    if (text !== '') yield text
  }
}

function lineOf(name: string): string {
  if (!/[\x00-\x1f\x7f-\x9f\u2028\u2029]|^"/.test(name)) return name
  return JSON.stringify(name).replace(
    /[\x7f-\x9f\u2028\u2029]/g,
    (mark) => '\\u' + mark.charCodeAt(0).toString(16).padStart(4, '0'),
  )
}

import { encodePath, nameOf, parentOf, segmentsOf } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'
import { escapeHtml, pageEnd, pageStart } from './html.js'
import { isKnownTime } from '../known-time.js'
import { isoTime } from './listing-json.js'
import type { Listed } from './listing-query.js'
import { inPieces } from './pieces.js'

/** Up to so many entries are sorted; what comes after them keeps the order of the store, so that memory stays bounded. */
const mostSorted = 50_000
const rowsPerText = 500

/** A directory as a page without script: folders first, then by name. */
export function htmlListing(
  batches: AsyncIterable<readonly Listed[]>,
  directory: StorePath,
  basePath: string,
): AsyncGenerator<Uint8Array> {
  return inPieces(parts(batches, directory, basePath))
}

async function* parts(
  batches: AsyncIterable<readonly Listed[]>,
  directory: StorePath,
  basePath: string,
): AsyncGenerator<string> {
  let gathered: Listed[] | undefined = []
  for await (const batch of batches) {
    if (gathered === undefined) {
      yield rows(batch, basePath)
      continue
    }
    for (const listed of batch) gathered.push(listed)
    if (gathered.length >= mostSorted) {
      yield* page(gathered, directory, basePath)
      gathered = undefined
    }
  }
  if (gathered !== undefined) yield* page(gathered, directory, basePath)
  yield `</tbody></table>${pageEnd}`
}

function* page(gathered: readonly Listed[], directory: StorePath, basePath: string): Generator<string> {
  yield pageStart(nameOf(directory) || 'Files')
  yield `<h1>${breadcrumb(directory, basePath)}</h1>\n`
  yield '<table><thead><tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr></thead><tbody>\n'
  if (directory !== '/')
    yield `<tr><td><a href="${href(parentOf(directory), true, basePath)}">../</a></td><td></td><td></td></tr>\n`
  const sorted = sortedByName(gathered)
  for (let at = 0; at < sorted.length; at += rowsPerText) yield rows(sorted.slice(at, at + rowsPerText), basePath)
}

function sortedByName(listed: readonly Listed[]): readonly Listed[] {
  return listed
    .map((one) => ({ one, key: (one.entry.kind === 'directory' ? '0' : '1') + one.name.toLowerCase() }))
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ one }) => one)
}

function rows(listed: readonly Listed[], basePath: string): string {
  let text = ''
  for (const { entry, name } of listed) {
    const directory = entry.kind === 'directory'
    const time = isKnownTime(entry) ? isoTime(entry.modified).slice(0, 19) : undefined
    text +=
      `<tr><td><a href="${href(entry.path, directory, basePath)}">${escapeHtml(name)}${directory ? '/' : ''}</a></td>` +
      (directory ? '<td></td>' : `<td title="${entry.size} bytes">${humanSize(entry.size)}</td>`) +
      (time === undefined
        ? '<td></td></tr>\n'
        : `<td><time datetime="${time}Z">${time.slice(0, 16).replace('T', ' ')}</time></td></tr>\n`)
  }
  return text
}

function breadcrumb(directory: StorePath, basePath: string): string {
  let path = ''
  let crumbs = `<a href="${href('/' as StorePath, true, basePath)}">/</a>`
  for (const segment of segmentsOf(directory)) {
    path += '/' + segment
    crumbs += ` <a href="${href(path as StorePath, true, basePath)}">${escapeHtml(segment)}</a> /`
  }
  return crumbs
}

function href(path: StorePath, directory: boolean, basePath: string): string {
  const encoded = encodePath(path)
  return escapeHtml(basePath) + (directory && encoded !== '/' ? encoded + '/' : encoded)
}

const units = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** A size for people: three digits and a binary unit. */
export function humanSize(bytes: number): string {
  let value = bytes
  let unit = 'B'
  for (const next of units) {
    if (value < 1000) break
    value /= 1024
    unit = next
  }
  return `${unit === 'B' || value >= 100 ? Math.round(value) : value.toPrecision(value >= 10 ? 3 : 2)} ${unit}`
}

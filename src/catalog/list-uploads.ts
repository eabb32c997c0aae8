import type { Catalog } from './catalog.js'
import { decodeUpload, headOf, headOfName, isCutHead, uploadGroup, type UploadRecord } from './upload-records.js'
import type { StorePath } from '../core/path.js'
import { compareKeys } from '../store/key-order.js'

export interface UploadListOptions {
  readonly prefix?: string
  readonly after?: { readonly path: string; readonly id?: string }
}

/** Of uploads whose records cannot be sorted by name: how many are held in memory to sort them. */
const sortedAtOnce = 500

/**
 * The records of uploads below a directory, by path in the order of UTF-8 bytes, then by id. The names of records sort like
 * that, but for very long paths that begin alike: those come in rounds, each of which looks through all of them for the next few,
 * so that memory stays flat.
 */
export async function* listUploads(
  catalog: Catalog,
  directory: StorePath,
  { prefix = '', after }: UploadListOptions,
): AsyncGenerator<readonly UploadRecord[]> {
  const below = directory === '/' ? '/' : `${directory}/`
  const within = prefix.startsWith(below) ? prefix : below
  const wanted = (record: UploadRecord): boolean =>
    record.path.startsWith(within) && record.path.startsWith(prefix) && isAfter(record, after)
  let sorted: string | undefined
  for await (const items of catalog.list(uploadGroup, { prefix: headOf(within).head, ...behind(after) })) {
    let records: UploadRecord[] = []
    for (const item of items) {
      const head = headOfName(item.name)
      if (isCutHead(head)) {
        if (head === sorted) continue
        sorted = head
        if (records.length > 0) yield records
        records = []
        yield* sortedBelow(catalog, head, wanted)
        continue
      }
      const record = decodeUpload(item)
      if (wanted(record)) records.push(record)
    }
    if (records.length > 0) yield records
  }
}

/** Names of records that may come. */
function behind(after: UploadListOptions['after']): { readonly after?: string } {
  if (after === undefined) return {}
  const { head, cut } = headOf(after.path)
  // A tilde sorts behind all ids.
  return { after: cut ? head : `${head}\x01${after.id ?? '~'}` }
}

async function* sortedBelow(
  catalog: Catalog,
  head: string,
  wanted: (record: UploadRecord) => boolean,
): AsyncGenerator<readonly UploadRecord[]> {
  let last: UploadRecord | undefined
  for (;;) {
    let next: UploadRecord[] = []
    for await (const items of catalog.list(uploadGroup, { prefix: `${head}\x01` })) {
      for (const item of items) {
        const record = decodeUpload(item)
        if (wanted(record) && (last === undefined || compare(record, last) > 0)) next.push(record)
      }
      next = next.sort(compare).slice(0, sortedAtOnce)
    }
    if (next.length > 0) yield next
    if (next.length < sortedAtOnce) return
    last = next.at(-1)
  }
}

function isAfter(record: UploadRecord, after: UploadListOptions['after']): boolean {
  if (after === undefined) return true
  const order = compareKeys(record.path, after.path)
  return order > 0 || (order === 0 && after.id !== undefined && record.id > after.id)
}

function compare(one: UploadRecord, other: UploadRecord): number {
  return compareKeys(one.path, other.path) || compareKeys(one.id, other.id)
}

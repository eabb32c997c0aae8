import { createHash } from 'node:crypto'
import type { Catalog, Change } from './catalog.js'
import {
  decodePart,
  decodeUpload,
  encode,
  isUploadId,
  partGroup,
  resultGroup,
  uploadGroup,
  uploadName,
  type Closing,
  type PartRecord,
  type UploadRecord,
} from './upload-records.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { PartRooms } from '../store/part-rooms.js'
import type { Attributes, Entry, Store, Written } from '../store/store.js'

/** What uploads stand on. */
export interface UploadNeeds {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly store: Store
}

/** A record as it was read, and the version that it had. */
export interface FoundUpload {
  readonly record: UploadRecord
  readonly version: string
}

/** How long to complete an upload again gives the same. */
const resultMilliseconds = 3600 * 1000
const changesAtOnce = 100

/** Throws `unsupported`. */
export function roomsOf(store: Store): PartRooms {
  if (store.parts === undefined) throw new Failure('unsupported', 'Files cannot be put together of parts here.')
  return store.parts
}

/** The record of an upload; undefined where there is none of that id and path. */
export async function readUpload(catalog: Catalog, path: StorePath, id: string): Promise<FoundUpload | undefined> {
  const item = isUploadId(id) ? await catalog.get(uploadGroup, uploadName(path, id)) : undefined
  if (item === undefined) return undefined
  const record = decodeUpload(item)
  // The names of long paths are cut, so others may have the same.
  return record.path === path && record.id === id ? { record, version: item.version } : undefined
}

/** All records of an upload's parts, by number, in batches. */
export async function* partRecords(catalog: Catalog, id: string): AsyncGenerator<readonly PartRecord[]> {
  for await (const items of catalog.list(partGroup, { prefix: `${id}/` })) yield items.map(decodePart)
}

/**
 * The mark of an upload that is about to become its file. A process that dies between the commit of the file and the
 * removal of the records leaves it, and whoever comes next can tell by it what has happened.
 */
export async function closingOf(
  store: Store,
  path: StorePath,
  size: number,
  attributes: Attributes = {},
): Promise<Closing> {
  const before = (await store.stat(path))?.etag
  return { size, attributes: hashOf(attributes), ...(before !== undefined && { before }) }
}

/** What an upload has become whose records are still there, after removing them; undefined where it is still open. */
export async function becameFile(needs: UploadNeeds, record: UploadRecord): Promise<Written | undefined> {
  const { closing } = record
  if (closing === undefined) return undefined
  const entry = await needs.store.stat(record.path)
  if (entry === undefined || !fits(entry, closing)) return undefined
  const written = { entry, created: closing.before === undefined }
  await finishUpload(needs, record, written)
  return written
}

function fits(entry: Entry, { size, attributes, before }: Closing): boolean {
  return (
    entry.kind === 'file' &&
    entry.size === size &&
    entry.etag !== before &&
    hashOf(entry.attributes ?? {}) === attributes
  )
}

/** Remembers for an hour what has become of an upload, then removes its records, and what is left of its room. */
export async function finishUpload(
  { catalog, clock, store }: UploadNeeds,
  { id, path, room }: UploadRecord,
  { entry, created }: Written,
): Promise<void> {
  const expires = new Date(clock.now() + resultMilliseconds)
  await catalog.swap(resultGroup, id, encode({ path, etag: entry.etag, created }), 'any', expires)
  await catalog.swap(uploadGroup, uploadName(path, id), undefined, 'any')
  await removeParts(catalog, id)
  await roomsOf(store).close(room)
}

/** Gives an upload up; resolves to false, having done nothing, where its record has changed meanwhile. */
export async function abortUpload(
  { catalog, store }: UploadNeeds,
  { record: { path, id, room }, version }: FoundUpload,
): Promise<boolean> {
  // Nobody finds it from here on; what a crash leaves after this is swept.
  if ((await catalog.swap(uploadGroup, uploadName(path, id), undefined, version)) === false) return false
  await roomsOf(store).close(room, await removeParts(catalog, id))
  return true
}

/** Resolves to the bytes of the parts that it removed the records of. */
export async function removeParts(catalog: Catalog, id: string): Promise<number> {
  let bytes = 0
  for await (const items of catalog.list(partGroup, { prefix: `${id}/` })) {
    for (const item of items) bytes += decodePart(item).size
    await removeAll(
      catalog,
      partGroup,
      items.map(({ name }) => name),
    )
  }
  return bytes
}

async function removeAll(catalog: Catalog, group: string, names: readonly string[]): Promise<void> {
  for (let at = 0; at < names.length; at += changesAtOnce) {
    const changes = names
      .slice(at, at + changesAtOnce)
      .map((name): Change => ({ group, name, next: undefined, expected: 'any' }))
    if (catalog.transaction !== undefined) await catalog.transaction(changes)
    else await Promise.all(changes.map(({ name }) => catalog.swap(group, name, undefined, 'any')))
  }
}

function hashOf(attributes: Attributes): string {
  const sorted = Object.entries(attributes).sort(([one], [other]) => (one < other ? -1 : 1))
  return createHash('sha256').update(JSON.stringify(sorted)).digest('base64')
}

/** What is said of an id that means nothing, or nothing under that path. */
export function noSuchUpload(): Failure {
  return new Failure('not-found', 'There is no such upload: it was never begun for this key, or is over.', {
    reason: 'NoSuchUpload',
  })
}

import { principalOf } from '../../../auth/identity.js'
import { noSuchUpload } from '../../../catalog/upload-state.js'
import type { Upload, UploadPart } from '../../../catalog/uploads.js'
import { isFailure } from '../../../core/failure.js'
import { toPath, type StorePath } from '../../../core/path.js'
import type { Session } from '../../protocol.js'
import { parseEntityTags } from '../../entity-tag.js'
import { writeConditions, type Preconditions } from '../../conditional.js'
import type { Conditions } from '../../../store/store.js'

/** Most parts of an upload (S3 User Guide, "Amazon S3 multipart upload limits"). */
export const mostParts = 10_000

/** What was agreed upon when an upload began: kept with it as notes, which are texts. */
export interface Plan {
  /** Bytes of the file; undefined where its sender does not know yet. */
  readonly size: number | undefined
  /** Bytes of every part but the last one. */
  readonly partSize: number
  /** Of the whole file, in hexadecimal digits. */
  readonly sha256: string | undefined
  /** Milliseconds since the epoch. */
  readonly modified: number | undefined
  /** As in the headers. */
  readonly ifMatch: string | undefined
  readonly ifNoneMatch: string | undefined
}

/** An upload that was begun over this API, by the caller. */
export interface OpenUpload {
  readonly upload: Upload
  readonly plan: Plan
}

export function notesOf(plan: Plan): Readonly<Record<string, string>> {
  const texts = Object.entries(plan).flatMap(([name, value]: [string, string | number | undefined]) =>
    value === undefined ? [] : [[name, String(value)] as const],
  )
  return { api: 'uploads', ...Object.fromEntries(texts) }
}

function planOf(notes: Readonly<Record<string, string>>): Plan {
  const { size, partSize, sha256, modified, ifMatch, ifNoneMatch } = notes
  return {
    size: size === undefined ? undefined : Number(size),
    partSize: Number(partSize),
    sha256,
    modified: modified === undefined ? undefined : Number(modified),
    ifMatch,
    ifNoneMatch,
  }
}

/** How many parts there will be; undefined where nobody knows. An empty file has one of no bytes. */
export function partCount({ size, partSize }: Plan): number | undefined {
  return size === undefined ? undefined : Math.max(1, Math.ceil(size / partSize))
}

/** Bytes that the part of that number has; undefined where nobody knows. Negative or 0 behind the last one. */
export function partSizeOf(plan: Plan, number: number): number | undefined {
  const { size, partSize } = plan
  return size === undefined ? undefined : Math.min(partSize, size - (number - 1) * partSize)
}

export function conditionsOf({ ifMatch, ifNoneMatch }: Pick<Plan, 'ifMatch' | 'ifNoneMatch'>): Preconditions {
  const tags = parseEntityTags(ifMatch)
  const none = parseEntityTags(ifNoneMatch)
  return { ...(tags !== undefined && { ifMatch: tags }), ...(none !== undefined && { ifNoneMatch: none }) }
}

export function storeConditionsOf(plan: Plan): Conditions {
  return writeConditions(conditionsOf(plan))
}

/** An id as clients have it: that of the catalog, and the path it belongs to. */
export function shownId({ id, path }: Pick<Upload, 'id' | 'path'>): string {
  return `${id}.${Buffer.from(path).toString('base64url')}`
}

/** Throws `not-found`. */
export function readId(text: string): { readonly id: string; readonly path: StorePath } {
  const [, id, name] = /^([0-9a-z]{31})\.([\w-]+)$/.exec(text) ?? []
  if (id === undefined || name === undefined) throw noSuchUpload()
  try {
    return { id, path: toPath(Buffer.from(name, 'base64url').toString()) }
  } catch (error) {
    if (isFailure(error)) throw noSuchUpload()
    throw error
  }
}

/** Throws `not-found` for uploads of others, and for those of other protocols, as for none. */
export async function openUpload(session: Session, text: string): Promise<OpenUpload> {
  const upload = await findUpload(session, text)
  if (upload === undefined) throw noSuchUpload()
  return upload
}

/** Undefined where it is over, or there has never been one. Throws `not-found` for uploads of others and of other protocols. */
export async function findUpload(session: Session, text: string): Promise<OpenUpload | undefined> {
  const { id, path } = readId(text)
  let upload: Upload
  try {
    upload = await session.uploads.find(path, id)
  } catch (error) {
    if (isFailure(error, 'not-found')) return undefined
    throw error
  }
  if (upload.owner !== principalOf(session.identity) || upload.notes?.['api'] !== 'uploads') throw noSuchUpload()
  return { upload, plan: planOf(upload.notes) }
}

/** All parts that have come, by number. */
export async function arrivedParts(session: Session, { path, id }: Upload): Promise<ReadonlyMap<number, UploadPart>> {
  const arrived = new Map<number, UploadPart>()
  for await (const parts of session.uploads.parts(path, id)) for (const part of parts) arrived.set(part.number, part)
  return arrived
}

/** A part as clients are told of it. */
export function shownPart({ number, size, digests }: UploadPart): object {
  return { number, size, ...(digests.sha256 && { sha256: Buffer.from(digests.sha256).toString('hex') }) }
}

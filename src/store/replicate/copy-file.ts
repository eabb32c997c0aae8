import { Failure, isFailure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { contentBytes } from '../content-bytes.js'
import { Digester } from '../digester.js'
import type { Attributes, Content, Digests, DigestName, Entry, WriteOptions } from '../store.js'
import type { TreeEnd } from './side-by-side.js'

/** One file on its way from one tree to another. */
export interface FileCopy {
  readonly source: TreeEnd
  readonly target: TreeEnd
  readonly from: StorePath
  readonly to: StorePath
  /** Whether the bytes that came to lie in the target are compared with those that were read. */
  readonly verify: boolean
  readonly signal: AbortSignal
  /** Told as bytes are read. */
  readonly onBytes: (count: number) => void
}

export interface CopiedFile {
  readonly bytes: number
  /** Attributes went along. */
  readonly hasAttributes: boolean
}

/** Seconds since the epoch with a fraction, as rclone and s3fs keep it. */
const timeAttribute = 'x-amz-meta-mtime'
/** `st_mode` as a decimal number, as s3fs keeps it. */
const modeAttribute = 'x-amz-meta-mode'
const executableMode = String(0o100755)

/**
 * Copies one file with its attributes, its modified time, its executable flag and the digests that are known of it; all or
 * nothing. Throws like `Store.open` and `Store.write`, and `bad-digest` where what was read is not what the source says of
 * itself (nothing is written then), or what was written is not what was read (it is removed then).
 */
export async function copyFile(copy: FileCopy): Promise<CopiedFile> {
  const { source, target, from, to, signal } = copy
  const content = await source.store.open(from, { signal })
  const { entry } = content
  const digester = copy.verify ? new Digester(['md5', 'sha256']) : undefined
  try {
    const facts = factsFor(copy, entry)
    const { entry: written } = await target.store.write(to, watched(content, digester, copy), {
      ...facts,
      knownDigests: () => ({ ...entry.digests, ...(digester && { md5: digester.digests().md5 }) }),
      signal,
    })
    if (digester !== undefined) await verify(copy, written, digester.digests())
    return { bytes: entry.size, hasAttributes: Object.keys(facts.attributes).length > 0 }
  } finally {
    // A body that nobody has pulled closes nothing.
    await content.close()
  }
}

/** Whether a file is in the target already: by its digests where both stores know one, else by size and modified time. */
export async function isSame(source: TreeEnd, target: TreeEnd, pair: SamePair, signal: AbortSignal): Promise<boolean> {
  if (pair.source.size !== pair.target.size) return false
  const listed = agree(pair.source.digests, pair.target.digests)
  if (listed !== undefined) return listed
  const [one, other] = await Promise.all([
    source.store.stat(pair.source.path, signal),
    target.store.stat(pair.target.path, signal),
  ])
  if (one?.size === undefined || one.size !== other?.size) return false
  return agree(one.digests, other.digests) ?? wholeSecond(timeOf(source, one)) === wholeSecond(timeOf(target, other))
}

interface SamePair {
  readonly source: Entry
  readonly target: Entry
}

/** Whether two files have the same digests; undefined where there is none that is known of both. */
function agree(one: Digests = {}, other: Digests = {}): boolean | undefined {
  const common = (Object.keys(one) as DigestName[]).filter((name) => one[name] && other[name])
  if (common.length === 0) return undefined
  return common.every((name) => sameBytes(one[name], other[name]))
}

async function* watched(content: Content, digester: Digester | undefined, copy: FileCopy): AsyncGenerator<Uint8Array> {
  for await (const chunk of contentBytes(content)) {
    digester?.update(chunk)
    copy.onBytes(chunk.byteLength)
    yield chunk
  }
  // Before the last word is said: the target drops what it has.
  if (digester !== undefined && agree(content.entry.digests, digester.digests()) === false)
    throw new Failure('bad-digest', 'The bytes of the source are not those that its checksum tells of.', {
      path: copy.from,
    })
}

/** What goes along with the bytes, as the target can keep it. */
function factsFor({ source, target }: FileCopy, entry: Entry): WriteOptions & { readonly attributes: Attributes } {
  const executable = isExecutable(source, entry)
  const own = source.isObjects === true ? [timeAttribute, modeAttribute] : []
  const attributes = Object.fromEntries(Object.entries(entry.attributes ?? {}).filter(([name]) => !own.includes(name)))
  const mode = target.isObjects === true && executable ? { [modeAttribute]: executableMode } : {}
  return {
    length: entry.size,
    modified: timeOf(source, entry),
    executable,
    attributes: { ...attributes, ...mode },
  }
}

/**
 * Compares what lies in the target now with what was read. A service whose ETag is the MD5 of what has come there has
 * vouched for it; from others it is read back.
 */
async function verify({ target, to, signal }: FileCopy, written: Entry, expected: Digests): Promise<void> {
  if (expected.md5 !== undefined && written.etag === Buffer.from(expected.md5).toString('hex')) return
  const digester = new Digester(['sha256'])
  const content = await target.store.open(to, { ifMatch: [written.etag], signal })
  for await (const chunk of contentBytes(content)) digester.update(chunk)
  if (agree(expected, digester.digests()) === true) return
  await target.store.remove(to, { ifMatch: [written.etag] }).catch((error: unknown) => {
    if (!isFailure(error)) throw error
  })
  throw new Failure('bad-digest', 'What was written is not what was read; it was removed again.', { path: to })
}

function isExecutable({ isObjects }: TreeEnd, { executable = false, attributes }: Entry): boolean {
  const mode = isObjects === true ? Number(attributes?.[modeAttribute] ?? 0) : 0
  return executable || (mode & 0o111) !== 0
}

/** When the bytes were last changed, in milliseconds, as far as the store or those who have put them there tell. */
function timeOf({ isObjects }: TreeEnd, { modified, attributes }: Entry): number {
  const seconds = isObjects === true ? attributes?.[timeAttribute] : undefined
  return seconds !== undefined && /^-?\d{1,12}(?:\.\d{1,9})?$/.test(seconds) ? Number(seconds) * 1000 : modified
}

function wholeSecond(milliseconds: number): number {
  return Math.floor(milliseconds / 1000)
}

function sameBytes(one: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return one !== undefined && other !== undefined && Buffer.compare(one, other) === 0
}

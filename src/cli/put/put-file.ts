import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Failure, isFailure } from '../../core/failure.js'
import { encodePath, toPath } from '../../core/path.js'
import type { Begun, PartFacts, UploadsApi } from './api.js'
import type { BegunUploads } from './begun.js'
import { refusalOf, type Door } from './door.js'
import type { SourceFile } from './sources.js'

export interface Putting {
  readonly door: Door
  readonly api: UploadsApi
  readonly begun: BegunUploads
  readonly origin: string
  readonly basePath: string
  /** Parts of one file at once. */
  readonly parallel: number
  readonly partSize: number | undefined
  readonly resume: boolean
  /** Fails where something is there. */
  readonly noClobber: boolean
  /** Fails where the file is not this one, an ETag in its quotes. */
  readonly ifMatch: string | undefined
  /** Has the server verify the file as a whole. */
  readonly wholeDigest: boolean
  /** Bytes that have gone, or negative ones that go again. */
  readonly onBytes: (count: number) => void
  readonly signal: AbortSignal
}

/** Files of at most so many bytes go in one request. */
const smallBytes = 8 * 2 ** 20
/** How often a part is sent before it is given up: its URL may have expired, or what came may have been spoilt on its way. */
const partTries = 4

/** Puts one file, all or nothing. Gives how it was verified. Throws what keeps it from being there. */
export async function putFile(source: SourceFile, putting: Putting): Promise<string> {
  if (source.size <= smallBytes) return putWhole(source, putting)
  const upload = await beginOrResume(source, putting)
  // A server without uploads in parts takes the file as it is.
  if (upload === undefined) return putWhole(source, putting)
  const whole = putting.wholeDigest ? digestsOf(source, 0, source.size) : undefined
  whole?.catch(() => undefined)
  const parts = await sendParts(source, upload, putting)
  await requireUnchanged(source, upload, putting)
  const verified = await putting.api.complete(upload.id, parts, (await whole)?.sha256)
  await putting.begun.forget(source, putting.origin)
  return verified
}

async function putWhole(source: SourceFile, { door, basePath, noClobber, ifMatch, onBytes }: Putting): Promise<string> {
  const { sha256 } = await digestsOf(source, 0, source.size)
  let gone = 0
  const reply = await door.send('PUT', `${basePath}${encodePath(toPath(source.path))}?parents=1`, {
    headers: {
      accept: 'application/json',
      'content-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
      'x-oc-mtime': String(Math.floor(source.modified / 1000)),
      ...(noClobber && { 'if-none-match': '*' }),
      ...(ifMatch !== undefined && { 'if-match': ifMatch }),
    },
    length: source.size,
    body: () => {
      onBytes(-gone)
      gone = 0
      return counted(readRange(source, 0, source.size), (count) => {
        gone += count
        onBytes(count)
      })
    },
  })
  if (reply.status < 200 || reply.status >= 300) throw refusalOf(reply)
  return 'whole'
}

interface Going extends Begun {
  readonly isResumed: boolean
}

async function beginOrResume(source: SourceFile, putting: Putting): Promise<Going | undefined> {
  const { api, begun, origin, partSize, noClobber, ifMatch, resume } = putting
  const known = resume ? await begun.find(source, origin) : undefined
  try {
    if (known !== undefined) return { ...(await api.status(known)), isResumed: true }
  } catch (error) {
    // It was completed, given up or has expired.
    if (!isFailure(error, 'not-found')) throw error
  }
  try {
    const { path, size, modified } = source
    const upload = await api.begin({
      path,
      size,
      modified,
      ...(partSize !== undefined && { partSize }),
      ...(noClobber && { ifNoneMatch: '*' }),
      ...(ifMatch !== undefined && { ifMatch }),
    })
    await begun.keep(source, origin, upload.id)
    return { ...upload, isResumed: false }
  } catch (error) {
    if (isFailure(error, 'not-found', 'method', 'unsupported')) return undefined
    throw error
  }
}

async function sendParts(source: SourceFile, upload: Going, putting: Putting): Promise<readonly PartFacts[]> {
  const count = Math.ceil(source.size / upload.partSize)
  const parts: PartFacts[] = []
  const failed = new AbortController()
  let next = 1
  const worker = async (): Promise<void> => {
    while (next <= count && !failed.signal.aborted) {
      const number = next++
      const start = (number - 1) * upload.partSize
      const end = Math.min(start + upload.partSize, source.size)
      const facts = { number, size: end - start, ...(await digestsOf(source, start, end)) }
      await sendPart(source, { upload, facts, start }, putting)
      parts.push(facts)
    }
  }
  await Promise.all(
    Array.from({ length: Math.min(putting.parallel, count) }, () =>
      worker().catch((error: unknown) => {
        failed.abort()
        throw error
      }),
    ),
  )
  return parts.sort((one, other) => one.number - other.number)
}

async function sendPart(
  source: SourceFile,
  { upload, facts, start }: { readonly upload: Going; readonly facts: PartFacts; readonly start: number },
  { api, door, onBytes }: Putting,
): Promise<void> {
  const { size, number } = facts
  let gone = 0
  const body = (): AsyncIterable<Uint8Array> => {
    onBytes(-gone)
    gone = 0
    return counted(readRange(source, start, start + size), (count) => {
      gone += count
      onBytes(count)
    })
  }
  for (let tried = 1; ; tried++) {
    const asks = upload.direct || upload.arrived.has(number)
    const way = asks ? await api.offer(upload.id, facts, upload.isResumed || tried > 1) : { direct: false as const }
    if (way === undefined) break
    if (!way.direct) return api.put(upload.id, facts, body)
    const reply = await door.send('PUT', way.url, { headers: way.headers, body, length: size })
    // It is there from an attempt whose answer was lost; completing asks whether it is the same.
    if ((reply.status >= 200 && reply.status < 300) || reply.status === 412) break
    if (tried >= partTries || (reply.status !== 403 && reply.status !== 400)) throw refusalOf(reply)
  }
  onBytes(size - gone)
}

/** A file that is written while it is sent would be one that never was. */
async function requireUnchanged(source: SourceFile, { id }: Begun, { api, begun, origin }: Putting): Promise<void> {
  const now = await stat(source.file).catch(() => undefined)
  if (now?.size === source.size && Math.floor(now.mtimeMs) === source.modified) return
  await api.abort(id).catch(() => undefined)
  await begun.forget(source, origin)
  throw new Failure('conflict', `${source.file} was changed while it was sent.`)
}

async function digestsOf(
  source: SourceFile,
  start: number,
  end: number,
): Promise<{ readonly sha256: string; readonly md5: string }> {
  const sha256 = createHash('sha256')
  const md5 = createHash('md5')
  for await (const piece of readRange(source, start, end)) {
    sha256.update(piece)
    md5.update(piece)
  }
  return { sha256: sha256.digest('hex'), md5: md5.digest('hex') }
}

/** Throws `conflict` where the file has become shorter. */
async function* readRange({ file }: SourceFile, start: number, end: number): AsyncGenerator<Uint8Array, void> {
  if (start === end) return
  let size = 0
  try {
    for await (const piece of createReadStream(file, {
      start,
      end: end - 1,
      highWaterMark: 2 ** 18,
    }) as AsyncIterable<Buffer>) {
      size += piece.length
      yield piece
    }
  } catch (cause) {
    throw new Failure('not-found', `${file} cannot be read.`, { cause })
  }
  if (size !== end - start) throw new Failure('conflict', `${file} was changed while it was sent.`)
}

async function* counted(body: AsyncIterable<Uint8Array>, onBytes: (count: number) => void): AsyncGenerator<Uint8Array> {
  for await (const piece of body) {
    yield piece
    onBytes(piece.length)
  }
}

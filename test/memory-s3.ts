import { createHash, randomBytes } from 'node:crypto'
import { Failure } from '../src/core/failure.js'
import { throwIfAborted } from '../src/store/aborted.js'
import type {
  ObjectHeaders,
  ObjectFacts,
  S3Abilities,
  S3Service,
  StoredObject,
  Upload,
  WriteCondition,
} from '../src/store/s3/service.js'

interface StoredBytes extends ObjectFacts {
  readonly bytes: Buffer
}

interface PendingUpload extends Upload {
  readonly headers: ObjectHeaders
  readonly begun: number
  readonly parts: Map<number, { readonly bytes: Buffer; readonly etag: string }>
}

/** An `S3Service` in this process's memory: what Amazon's can do, of which there is none to test with. */
export interface MemoryS3 extends S3Service {
  /** What each request was, since `forget`. */
  readonly seen: string[]
  /** A further one of the same objects. */
  again(): MemoryS3
}

const everything: S3Abilities = {
  conditionalPut: true,
  conditionalComplete: true,
  conditionalCopy: true,
  conditionalRemove: true,
  etagIsMd5: true,
}

/** Opens an empty bucket. Requests take some turns of the event loop, each a number of its own, so that they overtake one another. */
export function openMemoryS3(abilities: Partial<S3Abilities> = {}): MemoryS3 {
  return serviceOf({ ...everything, ...abilities }, new Map(), new Map())
}

function serviceOf(
  abilities: S3Abilities,
  objects: Map<string, StoredBytes>,
  uploads: Map<string, PendingUpload>,
): MemoryS3 {
  const seen: string[] = []
  const request = async <Result>(
    verb: string,
    signal: AbortSignal | undefined,
    work: () => Result,
  ): Promise<Result> => {
    seen.push(verb)
    throwIfAborted(signal)
    await someTurns()
    throwIfAborted(signal)
    try {
      return work()
    } finally {
      await someTurns()
    }
  }
  const require = (key: string): StoredBytes => objects.get(key) ?? fail('not-found')
  const judge = (key: string, condition: WriteCondition | undefined, has: boolean): void => {
    if (condition === undefined) return
    if (!has) throw new Error('A condition that the service does not judge.')
    const etag = objects.get(key)?.etag
    if ('absent' in condition ? etag !== undefined : etag !== condition.etag) fail('precondition')
  }
  const store = (key: string, bytes: Buffer, headers: ObjectHeaders, etag = md5(bytes)): StoredObject => {
    const modified = Math.floor(Date.now() / 1000) * 1000
    const kept = { 'content-type': 'binary/octet-stream', ...headers }
    objects.set(key, { bytes, headers: kept, size: bytes.length, etag, modified })
    return { etag, modified }
  }
  const uploadOf = ({ key, id }: Upload): PendingUpload => {
    const upload = uploads.get(id)
    return upload?.key === key ? upload : fail('not-found')
  }
  return {
    abilities,
    seen,
    again: () => serviceOf(abilities, objects, uploads),
    head: (key, signal) => request('HEAD', signal, () => objects.get(key)),
    get: (key, { range, ifMatch, signal } = {}) =>
      request('GET', signal, () => {
        const facts = require(key)
        if (ifMatch !== undefined && ifMatch !== facts.etag) fail('precondition')
        if (range !== undefined && range.start >= facts.size) fail('bad-range')
        const bytes = facts.bytes.subarray(range?.start ?? 0, range?.end ?? facts.size)
        return { facts, bytes: inChunks(bytes), close: () => undefined }
      }),
    put: (key, bytes, { headers = {}, condition, signal } = {}) =>
      request('PUT', signal, () => {
        judge(key, condition, abilities.conditionalPut)
        return store(key, Buffer.concat(bytes), headers)
      }),
    copy: (from, to, { ifMatch, condition, headers, signal } = {}) =>
      request('Copy', signal, () => {
        const source = require(from)
        if (ifMatch !== undefined && ifMatch !== source.etag) fail('precondition')
        judge(to, condition, abilities.conditionalCopy)
        return store(to, source.bytes, headers ?? source.headers)
      }),
    remove: (key, { ifMatch, signal } = {}) =>
      request('DELETE', signal, () => {
        if (ifMatch !== undefined && objects.has(key)) judge(key, { etag: ifMatch }, abilities.conditionalRemove)
        objects.delete(key)
      }),
    removeMany: (removals, signal) =>
      request('DeleteMany', signal, () =>
        removals.flatMap((each) => {
          const { key, etag } = typeof each === 'string' ? { key: each, etag: undefined } : each
          const isOther = etag !== undefined && objects.has(key) && objects.get(key)?.etag !== etag
          if (isOther && abilities.conditionalRemove) return [{ key, code: 'PreconditionFailed' }]
          objects.delete(key)
          return []
        }),
      ),
    list: ({ prefix = '', delimiter, after = '', token = '', max = 1000, signal }) =>
      request('List', signal, () => {
        const begin = token > after ? token : after
        const found = new Map<string, StoredBytes | undefined>()
        for (const key of [...objects.keys()].sort(byBytes)) {
          if (!key.startsWith(prefix)) continue
          const slash = delimiter === undefined ? -1 : key.indexOf(delimiter, prefix.length)
          const name = slash === -1 ? key : key.slice(0, slash + 1)
          if (byBytes(name, begin) <= 0 || found.has(name)) continue
          found.set(name, slash === -1 ? objects.get(key) : undefined)
        }
        const page = [...found].slice(0, max)
        return {
          objects: page.flatMap(([key, object]) => (object === undefined ? [] : [{ ...object, key }])),
          prefixes: page.flatMap(([name, object]) => (object === undefined ? [name] : [])),
          token: found.size > max ? page.at(-1)?.[0] : undefined,
        }
      }),
    beginUpload: (key, headers = {}, signal) =>
      request('Begin', signal, () => {
        const id = randomBytes(8).toString('hex')
        uploads.set(id, { key, id, headers, begun: Date.now(), parts: new Map() })
        return id
      }),
    putPart: (upload, number, bytes, signal) =>
      request('PutPart', signal, () => {
        const all = Buffer.concat(bytes)
        uploadOf(upload).parts.set(number, { bytes: all, etag: md5(all) })
        return md5(all)
      }),
    copyPart: (upload, number, { key, etag, range }, signal) =>
      request('CopyPart', signal, () => {
        const source = require(key)
        if (source.etag !== etag) fail('precondition')
        const bytes = source.bytes.subarray(range.start, range.end)
        uploadOf(upload).parts.set(number, { bytes, etag: md5(bytes) })
        return md5(bytes)
      }),
    completeUpload: (upload, parts, { condition, signal } = {}) =>
      request('Complete', signal, () => {
        const pending = uploadOf(upload)
        judge(upload.key, condition, abilities.conditionalComplete)
        const held = parts.map(({ number }) => pending.parts.get(number) ?? fail('conflict'))
        if (held.some(({ etag }, index) => etag !== parts[index]?.etag)) fail('conflict')
        // EntityTooSmall
        if (held.slice(0, -1).some(({ bytes }) => bytes.length < 5 * 2 ** 20)) fail('conflict')
        uploads.delete(upload.id)
        const etag = `${md5(Buffer.concat(held.map((part) => Buffer.from(part.etag, 'hex'))))}-${parts.length}`
        return store(upload.key, Buffer.concat(held.map(({ bytes }) => bytes)), pending.headers, etag)
      }),
    abortUpload: (upload) =>
      request('Abort', undefined, () => {
        uploads.delete(upload.id)
      }),
    async *listUploads() {
      if (uploads.size > 0) yield [...uploads.values()]
    },
    presign: async () => fail('unsupported'),
    close: async () => undefined,
  }
}

function fail(kind: 'not-found' | 'precondition' | 'bad-range' | 'conflict' | 'unsupported'): never {
  throw new Failure(kind, 'The storage service refuses.')
}

function md5(bytes: Uint8Array): string {
  return createHash('md5').update(bytes).digest('hex')
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

async function someTurns(): Promise<void> {
  for (let left = Math.floor(Math.random() * 5); left >= 0; left--)
    await new Promise((resolve) => setImmediate(resolve))
}

async function* inChunks(bytes: Buffer): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536)
}

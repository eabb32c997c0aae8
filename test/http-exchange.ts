import { readSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { compileGrants } from '../src/auth/grant.js'
import { VerifiedBody } from '../src/auth/sigv4/verified-body.js'
import type { ExpectedDigest } from '../src/auth/sigv4/verified-body.js'
import type { PostForm, VerifiedRequest } from '../src/auth/sigv4/verified.js'
import { guard } from '../src/auth/guard.js'
import { catalogLocks } from '../src/catalog/catalog-locks.js'
import type { Locks } from '../src/catalog/locks.js'
import { openMemoryCatalog } from '../src/catalog/memory.js'
import { catalogProperties } from '../src/catalog/properties.js'
import type { Properties } from '../src/catalog/properties.js'
import { catalogUploads } from '../src/catalog/catalog-uploads.js'
import { systemClock } from '../src/core/clock.js'
import { Failure } from '../src/core/failure.js'
import { isFileRange } from '../src/core/http.js'
import type { FileRange, HttpRequest, HttpResponse } from '../src/core/http.js'
import { parseTarget, toPath } from '../src/core/path.js'
import type { Protocol, Session } from '../src/protocol/protocol.js'
import { digestNames } from '../src/store/digester.js'
import { openMemoryStore } from '../src/store/memory.js'
import type { Store } from '../src/store/store.js'

/** What a test says of a request; the rest is as a transport would have it. */
export interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>
}

/** A request as a transport hands it over. */
export function requestOf(method: string, target: string, { headers = {}, body = '' }: Asked = {}): HttpRequest {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  const fields = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), [value]]))
  if (bytes instanceof Uint8Array && bytes.length > 0 && !fields.has('transfer-encoding'))
    if (!fields.has('content-length')) fields.set('content-length', [String(bytes.length)])
  return {
    method,
    target,
    headers: fields,
    body: bytes instanceof Uint8Array ? once(bytes) : bytes,
    listener: 'test',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: {},
    signal: new AbortController().signal,
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.length > 0) yield bytes
}

/** An answer read to its end. */
export interface Answer {
  readonly status: number
  readonly bytes: Buffer
  readonly text: string
  header(name: string): string | undefined
}

/** Reads an answer to its end, as a transport would; gzip is undone. */
export async function read(response: HttpResponse): Promise<Answer> {
  const { body } = response
  const pieces: Uint8Array[] = []
  if (body instanceof Uint8Array) pieces.push(body)
  else if (isFileRange(body)) pieces.push(ofDescriptor(body))
  else if (body !== undefined) for await (const piece of body) pieces.push(piece)
  const header = (name: string): string | undefined => {
    const found = response.headers.filter(([other]) => other.toLowerCase() === name.toLowerCase())
    if (found.length > 1) throw new Error(`${name} comes twice`)
    return found[0]?.[1]
  }
  const raw = Buffer.concat(pieces)
  const bytes = header('content-encoding') === 'gzip' && body !== undefined ? gunzipSync(raw) : raw
  return { status: response.status, bytes, text: bytes.toString(), header }
}

function ofDescriptor(range: FileRange): Uint8Array {
  try {
    const bytes = Buffer.alloc(range.end - range.start)
    const count = readSync(range.fd, bytes, 0, bytes.length, range.start)
    return bytes.subarray(0, count)
  } finally {
    range.close()
  }
}

export interface AskedAs extends Asked {
  /** `rw:/**` by default. */
  readonly grants?: readonly string[]
  /** How an S3 request is signed: by its headers, unless it is a form. */
  readonly signedBy?: VerifiedRequest['signedBy']
  /** What an S3 request is a form with; its body is the file then. */
  readonly form?: PostForm
}

/** A protocol over a store as a gateway serves it, without a socket in between. */
export interface Site {
  /** The store itself, with no guard around it. */
  readonly store: Store
  readonly locks: Locks
  readonly properties: Properties
  /** Sends a request as a caller with these grants; a Failure comes back as its refusal. */
  ask(method: string, target: string, asked?: AskedAs): Promise<Answer>
  /** The same, with the answer as a transport gets it. */
  respond(method: string, target: string, asked?: AskedAs): Promise<HttpResponse>
  /** Puts files with these contents in place. */
  fill(files: Readonly<Record<string, string>>): Promise<void>
}

/** The request as the verifier of signatures would hand it on; digests of its body come from its headers. */
function asVerified(
  request: HttpRequest,
  { form, signedBy }: { readonly form: PostForm | undefined; readonly signedBy: AskedAs['signedBy'] | undefined },
): VerifiedRequest {
  const length = request.headers.get('content-length')?.[0]
  const expected: ExpectedDigest[] = []
  // There the headers are about the object, not the body.
  const completes = request.method === 'POST' && request.target.includes('uploadId=')
  for (const name of completes ? [] : digestNames) {
    const said = name === 'md5' ? 'content-md5' : `x-amz-checksum-${name}`
    const value = request.headers.get(said)?.[0]
    if (value !== undefined) expected.push({ name, said, value: Buffer.from(value, 'base64') })
  }
  const body = new VerifiedBody({
    chunks: request.body,
    expected,
    ...(length !== undefined && { length: Number(length) }),
  })
  const by = signedBy ?? (form === undefined ? 'header' : 'form')
  return { ...request, body, signedBy: by, ...(form !== undefined && { form }) }
}

/** A site over a store of its own, in memory unless another one is given. */
export function openSite(
  protocol: Protocol,
  options: { readonly store?: Store; readonly basePath?: string } = {},
): Site {
  const store = options.store ?? openMemoryStore()
  const catalog = openMemoryCatalog({ clock: systemClock })
  const locks = catalogLocks(catalog, systemClock)
  const properties = catalogProperties(catalog)
  const uploads = catalogUploads({ catalog, clock: systemClock, store })
  async function respond(
    method: string,
    target: string,
    { grants = ['rw:/**'], form, signedBy, ...asked }: AskedAs = {},
  ): Promise<HttpResponse> {
    const permit = compileGrants(grants, 'test')
    const holder = { principal: 'test:alice', tokens: new Set<string>() }
    const session: Session = {
      ...guard({ store, locks, properties, uploads }, permit, holder),
      holder,
      identity: { name: 'alice', source: 'test', grants },
      requestId: 'test',
      permit,
      basePath: options.basePath ?? '',
      publicOrigins: ['http://localhost'],
    }
    const plain = requestOf(method, target, asked)
    const request = protocol.target === undefined ? plain : asVerified(plain, { form, signedBy })
    try {
      return await protocol.handle(request, protocol.target?.(request) ?? parseTarget(target), session)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      return protocol.refuse(error, request, 'test')
    }
  }

  return {
    store,
    locks,
    properties,
    respond,
    ask: async (method, target, asked) => read(await respond(method, target, asked)),
    async fill(files) {
      for (const [path, text] of Object.entries(files))
        await store.write(toPath(path), once(Buffer.from(text)), { parents: true })
    },
  }
}

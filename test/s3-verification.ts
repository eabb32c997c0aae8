import { createSignatures, type SignaturesOptions } from '../src/auth/sigv4/verifier.js'
import type { LoginEvent } from '../src/auth/audit.js'
import type { Directory, Identity } from '../src/auth/identity.js'
import { type ChunkSignatures, KeyedChunkSignatures } from '../src/auth/sigv4/chunk-signatures.js'
import type { JudgedForm, SentForm } from '../src/auth/sigv4/judge.js'
import { createKeyedJudge } from '../src/auth/sigv4/keyed-judge.js'
import { derivedKey } from '../src/auth/sigv4/signing-keys.js'
import type { Signatures } from '../src/auth/sigv4/verified.js'
import { ManualClock } from '../src/core/clock.js'
import type { HttpRequest } from '../src/core/http.js'
import { rootPath } from '../src/core/path.js'
import type { S3Key, SentRequest } from './s3-signer.js'

/** The key of the examples in the Amazon S3 API Reference. */
export const exampleKey: S3Key = { id: 'AKIAIOSFODNN7EXAMPLE', secret: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
export const exampleHost = 'examplebucket.s3.amazonaws.com'
export const exampleTime = Date.UTC(2013, 4, 24)

/** How signatures are judged: in this process, or, for the suites that are run again, behind the door of another. */
export interface Ways {
  readonly signatures: (options: SignaturesOptions) => Signatures
  /** Chunks that are signed by the key of the examples, from this signature on. */
  readonly chunks: (request: {
    readonly date: string
    readonly scope: string
    readonly seed: string
  }) => ChunkSignatures
  readonly form: (options: SignaturesOptions) => (form: SentForm) => Promise<JudgedForm>
}

let ways: Ways = {
  signatures: createSignatures,
  chunks: ({ date, scope, seed }) => {
    const [day = '', region = ''] = scope.split('/')
    return new KeyedChunkSignatures({ ...derivedKey(exampleKey.secret, day, region), date, scope }, seed)
  },
  form: (options) => (form) => createKeyedJudge(options).form(form, arrived({ method: 'POST' })),
}

/** From now on; before any of the suites is loaded that ask for it. */
export function judgeBy(others: Ways): void {
  ways = others
}

export const waysNow = (): Ways => ways

/** What a request names, where that is of no account. */
export const bucketTarget = { path: rootPath, slash: true, query: '', bucket: 'examplebucket' }

/** A source that knows these keys. */
export function keySource(name: string, ...keys: readonly S3Key[]): Directory {
  return {
    name,
    accepts: new Set(),
    check: async () => ({ kind: 'unknown' }),
    signingKey: async (id) => {
      const key = keys.find((one) => one.id === id)
      return key && { secret: key.secret, identity: identityOf(key, name) }
    },
  }
}

export function identityOf({ id }: S3Key, source = 'keys'): Identity {
  return { name: `owner of ${id}`, source, grants: ['rw:/**'] }
}

/** A verifier that knows the key of the examples, at their time, and what it tells the audit. */
export function verification(options: Partial<SignaturesOptions> = {}): {
  readonly signatures: Signatures
  readonly clock: ManualClock
  readonly events: LoginEvent[]
} {
  const clock = new ManualClock(exampleTime)
  const events: LoginEvent[] = []
  const signatures = ways.signatures({
    directories: [keySource('keys', exampleKey)],
    clock,
    basePath: '',
    audit: (event) => events.push(event),
    ...options,
  })
  return { signatures, clock, events }
}

/** A request that has arrived. */
export interface Arrived extends HttpRequest {
  /** How often somebody began to read its body. */
  readonly pulls: () => number
}

/** A request as a transport hands it over: bytes beyond ASCII as Latin-1. */
export function arrived(sent: Partial<SentRequest>, more: Partial<HttpRequest> = {}): Arrived {
  const { method = 'GET', target = '/', headers = {}, body = Buffer.alloc(0) } = sent
  let pulls = 0
  const latin = (text: string): string => Buffer.from(text).toString('latin1')
  const map = new Map(Object.entries(headers).map(([name, value]) => [name, [value].flat().map(latin)]))
  return {
    method,
    target: latin(target),
    headers: map,
    body: {
      [Symbol.asyncIterator]: () => {
        pulls += 1
        return (async function* () {
          if (body.length > 0) yield body
        })()
      },
    },
    listener: 'main',
    origin: { scheme: 'http', authority: map.get('host')?.[0]?.toLowerCase() ?? 'localhost' },
    peer: { address: '192.0.2.1' },
    signal: new AbortController().signal,
    pulls: () => pulls,
    ...more,
  }
}

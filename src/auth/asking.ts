import { hash, randomBytes } from 'node:crypto'
import { header, type HttpRequest } from '../core/http.js'
import type { Asked } from './cached.js'
import type { Credential, RequestFacts } from './identity.js'
import type { Scheme } from './scheme/scheme.js'

/** What the headers of an earlier request have turned out to hold. */
export interface SeenCredential {
  readonly kind: Credential['kind']
  /** What stands for the credential in memory. */
  readonly key: string
}

/** A caller with its credential, of which no more is worked out than somebody asks for. */
export class Asking implements Asked {
  readonly kind: Credential['kind']
  readonly key: string
  readonly #request: HttpRequest
  readonly #read: () => Credential
  #facts: RequestFacts | undefined

  constructor(request: HttpRequest, { kind, key }: SeenCredential, read: () => Credential) {
    this.kind = kind
    this.key = key
    this.#request = request
    this.#read = read
  }

  get credential(): Credential {
    return this.#read()
  }

  get facts(): RequestFacts {
    this.#facts ??= factsOf(this.#request)
    return this.#facts
  }
}

/** What directories may know of a request. */
export function factsOf(request: HttpRequest): RequestFacts {
  const { address } = request.peer
  const destination =
    request.method === 'COPY' || request.method === 'MOVE' ? header(request, 'destination') : undefined
  return {
    method: request.method,
    target: request.target,
    origin: request.origin,
    ...(destination !== undefined && { destination }),
    ...(address !== undefined && { address }),
  }
}

/** The least recently made goes first. */
const mostSeen = 10_000

/**
 * Knows the headers of credentials that were good, by a hash under a random key of this process, so that they need not
 * be taken apart again with every request. It says nothing of whether they still are.
 */
export class SeenHeaders {
  readonly #names: readonly string[]
  // Half of an HMAC: nobody sees the result who could lengthen the text.
  readonly #secret = randomBytes(32).toString('base64')
  readonly #seen = new Map<string, SeenCredential>()

  constructor(schemes: readonly Scheme[]) {
    // A login that no scheme here can read is a wrong one, not none.
    this.#names = [...new Set(['authorization', ...schemes.flatMap(({ headers }) => headers)])]
  }

  /** What stands for the headers of a request; undefined where it has none of them. */
  keyOf(request: HttpRequest): string | undefined {
    let text: string | undefined
    for (const name of this.#names) {
      const values = request.headers.get(name)
      // No value holds a line break.
      if (values !== undefined) text = `${text ?? ''}${name}\n${values.join('\n')}\n\n`
    }
    return text === undefined ? undefined : hash('sha256', this.#secret + text, 'base64')
  }

  find(key: string): SeenCredential | undefined {
    return this.#seen.get(key)
  }

  forget(key: string): void {
    this.#seen.delete(key)
  }

  add(key: string, credential: SeenCredential): void {
    this.#seen.set(key, credential)
    if (this.#seen.size <= mostSeen) return
    const oldest = this.#seen.keys().next()
    if (oldest.done !== true) this.#seen.delete(oldest.value)
  }
}

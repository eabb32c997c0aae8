import { indexOfToken } from '../../auth/token-hash.js'
import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpRequest } from '../../core/http.js'

/** A bearer token that a drop takes. */
export interface DropToken {
  /** Which log lines and names of drops show. */
  readonly name: string
  /** SHA-256 of each token text that is right; two while one is replaced by the other. */
  readonly hashes: readonly Uint8Array[]
}

/** What a CDN adds to every request that it lets through. */
export interface CdnLock {
  /** As it is written in the configuration: messages show it so. Any case of it is the same header. */
  readonly header: string
  readonly hashes: readonly Uint8Array[]
}

/**
 * The answers of s3-dropbox to a missing or wrong token, for both of its layers: the words are its contract. Throws
 * `unauthenticated`.
 */
export function admitThrough(request: HttpRequest, lock: CdnLock): void {
  if (tokenOf(request, lock.header, [lock]) === undefined) throw incorrect(lock.header)
}

/** Whose token a request brings. Throws `unauthenticated` with the words of the contract. */
export function admitSender<Token extends DropToken>(request: HttpRequest, tokens: readonly Token[]): Token {
  const found = tokenOf(request, 'authorization', tokens)
  if (found === undefined) throw incorrect('authorization')
  return found
}

/** Of tokens the one that a header brings; undefined where it brings another. Throws `unauthenticated` where it brings none. */
function tokenOf<Token extends Pick<DropToken, 'hashes'>>(
  request: HttpRequest,
  name: string,
  tokens: readonly Token[],
): Token | undefined {
  const value = header(request, name.toLowerCase())
  if (value === undefined) throw new Failure('unauthenticated', `The ${name} header must be present`)
  if (!value.startsWith('Bearer ')) throw new Failure('unauthenticated', `The ${name} header must start with "Bearer "`)
  const token = value.slice('Bearer '.length).trim()
  // All of them are looked at, so that the time does not tell which one was near.
  return tokens.filter(({ hashes }) => indexOfToken(hashes, token) !== -1)[0]
}

function incorrect(name: string): Failure {
  return new Failure('unauthenticated', `The Bearer token in ${name} is not correct`)
}

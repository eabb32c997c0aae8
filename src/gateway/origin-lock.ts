import { indexOfToken } from '../auth/token-hash.js'
import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import { probePages } from './probe-pages.js'

/** Throws `denied` for a request that did not come through the one in front, whoever asks. */
export type OriginLock = (request: HttpRequest) => void

export interface OriginLockOptions {
  /** The header that the one in front adds, `Bearer TOKEN`; lower case. */
  readonly header: string
  /** SHA-256 of each token that is right; two while one is replaced by the other. */
  readonly hashes: readonly Uint8Array[]
  readonly basePath: string
}

/** Closes the direct way to a server behind a CDN. What asks whether the server is well comes without it and is told nothing else. */
export function createOriginLock({ header, hashes, basePath }: OriginLockOptions): OriginLock {
  const isProbe = probePages(basePath)
  return ({ target, headers }) => {
    if (isProbe(target)) return
    const [value, ...others] = headers.get(header) ?? []
    const token = value === undefined || others.length > 0 ? undefined : /^bearer (.+)$/i.exec(value)?.[1]?.trim()
    if (token === undefined || indexOfToken(hashes, token) === -1)
      throw new Failure('denied', 'This server is to be reached through its public address only.')
  }
}

import { createHmac } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import type { LoginEvent } from '../audit.js'
import { hmacUnder } from '../hmac.js'
import type { Directory, SigningKey } from '../identity.js'

/** Where the secrets of signatures come from: those of the sources that hold any. */
export type KeySource = Pick<Directory, 'name' | 'signingKey'>

/** A key derived for one day, one region and the service `s3`. */
export interface DerivedKey {
  /** HMAC-SHA256 under it, in base64. Neither it nor what it gives may leave the judge of signatures. */
  readonly sign: (text: string) => string
}

/** What a derived key is for. */
export interface KeyScope {
  readonly accessKeyId: string
  readonly day: string
  readonly region: string
}

/** As many derived keys are remembered; whoever was asked for longest ago goes first. */
const mostKept = 1000

/**
 * Looks keys up, at every request: one that is revoked or changed counts no longer at once. What is derived from a secret
 * is remembered, and good only for that secret.
 */
export class SigningKeys {
  readonly #sources: readonly KeySource[]
  readonly #audit: (event: LoginEvent) => void
  readonly #kept = new Map<string, { readonly secret: string; readonly key: DerivedKey }>()

  constructor(sources: readonly KeySource[], audit: (event: LoginEvent) => void) {
    this.#sources = sources.filter(({ signingKey }) => signingKey !== undefined)
    this.#audit = audit
  }

  /** By the first source that knows the id; undefined where none does. Throws `unavailable` where none does and one is down. */
  async find(accessKeyId: string): Promise<SigningKey | undefined> {
    let down: Failure | undefined
    for (const source of this.#sources) {
      try {
        const found = await source.signingKey?.(accessKeyId)
        if (found !== undefined) return found
      } catch (error) {
        if (!isFailure(error, 'unavailable')) throw error
        down ??= error
        this.#audit({ event: 'source-unavailable', source: source.name, cause: error })
      }
    }
    if (down === undefined) return undefined
    const retryAfterSeconds = down.retryAfterSeconds ?? 5
    const details = { retryAfterSeconds, cause: down }
    throw new Failure('unavailable', 'Signatures cannot be checked now. Try again soon.', details)
  }

  /**
   * What signatures of that scope are made with by whom a request has shown to have the secret a moment ago: looked up again
   * only where it is not remembered; undefined where no source knows the id. Throws like `find`.
   */
  async shown(scope: KeyScope): Promise<DerivedKey | undefined> {
    const kept = this.#kept.get(nameOf(scope))
    if (kept !== undefined) return kept.key
    const found = await this.find(scope.accessKeyId)
    return found && this.derive(found.secret, scope)
  }

  /** What signatures of that scope are made with. */
  derive(secret: string, scope: KeyScope): DerivedKey {
    const name = nameOf(scope)
    const kept = this.#kept.get(name)
    if (kept?.secret !== secret) return derivedKey(secret, scope.day, scope.region)
    this.#kept.delete(name)
    this.#kept.set(name, kept)
    return kept.key
  }

  /** Remembers a key whose signature was right: those of callers who only claim an id would push it out. */
  keep(secret: string, scope: KeyScope, key: DerivedKey): void {
    const name = nameOf(scope)
    if (this.#kept.get(name)?.key === key) return
    this.#kept.set(name, { secret, key })
    if (this.#kept.size <= mostKept) return
    const oldest = this.#kept.keys().next()
    if (oldest.done !== true) this.#kept.delete(oldest.value)
  }
}

/** Amazon S3 API Reference, "Calculate Signature". `service` is another one only in test vectors. */
export function derivedKey(secret: string, day: string, region: string, service = 's3'): DerivedKey {
  const bytes = [day, region, service, 'aws4_request'].reduce<Uint8Array>(
    (key, part) => createHmac('sha256', key).update(part).digest(),
    Buffer.from(`AWS4${secret}`),
  )
  return { sign: hmacUnder(bytes) }
}

function nameOf({ accessKeyId, day, region }: KeyScope): string {
  return `${accessKeyId}\n${day}\n${region}`
}

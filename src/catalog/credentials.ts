import { hash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { checkUserName } from './accounts.js'
import type { Catalog, Item } from './catalog.js'
import { Decoded } from './decoded.js'
import { accessKeyIds, idOfToken, keyIds, secrets, tokens } from './minted.js'
import { createSeal } from './seal.js'
import type { Seal } from './seal.js'

/** What can be issued: API keys and bearer tokens are checked, secrets of S3 keys must be had back to check signatures. */
export type IssuedKind = 'key' | 's3-key' | 'token'

export const issuedKinds: readonly IssuedKind[] = ['key', 's3-key', 'token']

/** A credential that was issued. It never changes but for the time of its end. */
export interface Issued {
  readonly kind: IssuedKind
  readonly id: string
  /** The principal it stands for: a label, that of a user or not, which any number of credentials may share. */
  readonly name: string
  /** Grant texts; whoever sets them has checked them. */
  readonly grants: readonly string[]
  /** Milliseconds since the epoch. */
  readonly created: number
  /** From then on it is refused; absent: never. */
  readonly expires?: number
}

/** An issued credential as it stands. */
export interface StoredCredential {
  readonly issued: Issued
  /** For `isCurrent`. */
  readonly stamp: string
}

/** Shown once: nobody can have the secret of a key or a token back. */
export interface NewCredential {
  readonly issued: Issued
  /** The secret of a key; of a token, the whole of it. */
  readonly secret: string
}

export interface IssueOptions {
  readonly name: string
  readonly grants: readonly string[]
  readonly expires?: number
}

interface Kept extends Omit<Issued, 'kind' | 'id'> {
  /** SHA-256 of the secret as base64, for it has too many bits to be guessed; the sealed secret of an S3 key. */
  readonly proof: string
  /** The id of the one that takes its place. */
  readonly successor?: string
}

const groups: Readonly<Record<IssuedKind, string>> = { key: 'keys', 's3-key': 's3-keys', token: 'tokens' }

/** How long one that has expired is still listed, and is called expired in the audit log. */
const rememberedMilliseconds = 30 * 24 * 3600 * 1000

/**
 * The API keys, S3 keys and tokens of a catalog. Names are taken in NFC and throw `invalid` where `checkUserName` refuses
 * them. What is changed here holds for the next check of every process.
 */
export class Credentials {
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #seal: Seal
  readonly #decoded: Readonly<Record<IssuedKind, Decoded<Kept>>>
  /** The secrets of S3 keys, opened once for as long as their records are remembered. */
  readonly #opened = new WeakMap<Kept, string>()

  /** With the secret of the installation, under which the secrets of S3 keys are sealed. */
  constructor(catalog: Catalog, clock: Clock, secret: Uint8Array) {
    this.#catalog = catalog
    this.#clock = clock
    this.#seal = createSeal(secret, 'S3 secrets')
    this.#decoded = { key: new Decoded(decode), 's3-key': new Decoded(decode), token: new Decoded(decode) }
  }

  /** Makes one with a new id and a random secret. */
  async issue(kind: IssuedKind, options: IssueOptions): Promise<NewCredential> {
    const { id, secret } = minted(kind)
    return { issued: await this.#add(kind, id, secret, options), secret }
  }

  /** Takes over an API key that another program has issued. Throws `exists`, and `invalid` for an id or a secret that will not do. */
  async importKey(id: string, secret: string, options: IssueOptions): Promise<Issued> {
    if (!isId(id))
      throw new Failure(
        'invalid',
        'The id of a key has 1 to 128 of A-Z a-z 0-9 _ . @ + and -, and begins with none of the last four.',
      )
    if (!/^[\x21-\x7e]{1,1024}$/.test(secret))
      throw new Failure(
        'invalid',
        `The secret of the key ${id} must have 1 to 1,024 characters of ASCII without spaces; issue a new key instead.`,
      )
    return this.#add('key', id, secret, options)
  }

  /** Whatever stands under this id, expired or not; undefined also for what no id can be. */
  async find(kind: IssuedKind, id: string): Promise<StoredCredential | undefined> {
    const found = await this.#read(kind, id)
    return found && { issued: issuedOf(kind, id, found.kept), stamp: stampOf(kind, id, found.version) }
  }

  /** The API key or the token with this secret. `right` is false under a wrong secret; undefined where there is no such id. */
  async check(
    kind: 'key' | 'token',
    id: string,
    secret: string,
  ): Promise<(StoredCredential & { readonly right: boolean }) | undefined> {
    const found = await this.#read(kind, id)
    const proof = Buffer.from(found?.kept.proof ?? noProof, 'base64')
    const shown = digest(secret)
    const right = proof.length === shown.length && timingSafeEqual(shown, proof)
    if (found === undefined) return undefined
    return { issued: issuedOf(kind, id, found.kept), stamp: stampOf(kind, id, found.version), right }
  }

  /** The token with this text, which tells its id by itself; undefined for one that was not made here. */
  async checkToken(token: string): Promise<(StoredCredential & { readonly right: boolean }) | undefined> {
    return tokens.made(token) ? this.check('token', idOfToken(token), token) : undefined
  }

  /** The S3 key and its secret. Throws `unavailable` where another installation has sealed it. */
  async signingKey(id: string): Promise<(StoredCredential & { readonly secret: string }) | undefined> {
    const found = await this.#read('s3-key', id)
    if (found === undefined) return undefined
    const { kept, version } = found
    let secret = this.#opened.get(kept)
    if (secret === undefined) {
      secret = this.#seal.open(kept.proof, id)
      this.#opened.set(kept, secret)
    }
    return { issued: issuedOf('s3-key', id, kept), stamp: stampOf('s3-key', id, version), secret }
  }

  /** Whether the credential with this stamp is still there, unchanged; it may have expired. Cheap. */
  async isCurrent(stamp: string): Promise<boolean> {
    const [kind, id, version, ...more] = stamp.split('\n')
    if (!isKind(kind) || id === undefined || version === undefined || more.length > 0) return false
    return isId(id) && (await this.#catalog.get(groups[kind], id))?.version === version
  }

  hasExpired({ expires }: Issued): boolean {
    return expires !== undefined && expires <= this.#clock.now()
  }

  /** In the order of their ids, in batches, those that have expired among them. */
  async *list(kind: IssuedKind): AsyncIterable<readonly Issued[]> {
    for await (const items of this.#catalog.list(groups[kind]))
      yield items.map((item) => issuedOf(kind, item.name, decode(item)))
  }

  /** Throws `not-found`. */
  async revoke(kind: IssuedKind, id: string): Promise<Issued> {
    for (;;) {
      const found = await this.#existing(kind, id)
      if ((await this.#catalog.swap(groups[kind], id, undefined, found.version)) !== false)
        return issuedOf(kind, id, found.kept)
    }
  }

  /**
   * Issues a successor with the same name and grants, and ends the old one after the overlap: at once where it is 0. The
   * successor lives as long as the old one was meant to, unless told otherwise. Throws `not-found`, and `conflict` for
   * one that has expired, has a successor or is changed meanwhile.
   */
  async rotate(
    kind: IssuedKind,
    id: string,
    { overlapSeconds, expires }: { readonly overlapSeconds: number; readonly expires?: number },
  ): Promise<NewCredential & { readonly old: Issued }> {
    const { kept, version } = await this.#existing(kind, id)
    const now = this.#clock.now()
    const old = issuedOf(kind, id, kept)
    if (this.hasExpired(old)) throw new Failure('conflict', `The ${words[kind]} ${id} has expired. Issue a new one.`)
    if (kept.successor !== undefined)
      throw new Failure(
        'conflict',
        `The ${words[kind]} ${id} was rotated already. Rotate its successor ${kept.successor}.`,
      )
    const lifetime = kept.expires === undefined ? undefined : now + (kept.expires - kept.created)
    const until = expires ?? lifetime
    const { name, grants } = kept
    const made = await this.issue(kind, { name, grants, ...(until !== undefined && { expires: until }) })
    const end = Math.min(now + overlapSeconds * 1000, kept.expires ?? Infinity)
    const left: Kept = { ...kept, expires: end, successor: made.issued.id }
    const swapped =
      overlapSeconds === 0
        ? await this.#catalog.swap(groups[kind], id, undefined, version)
        : await this.#catalog.swap(groups[kind], id, encode(left), version, forgottenAt(left))
    if (swapped !== false) return { ...made, old: { ...old, expires: end } }
    await this.revoke(kind, made.issued.id)
    throw new Failure('conflict', `The ${words[kind]} ${id} was changed at the same time. Look at the list.`)
  }

  async #add(kind: IssuedKind, id: string, secret: string, { name, grants, expires }: IssueOptions): Promise<Issued> {
    const kept: Kept = {
      name: checkUserName(name),
      grants,
      created: this.#clock.now(),
      ...(expires !== undefined && { expires }),
      proof: kind === 's3-key' ? this.#seal.close(secret, id) : digest(secret).toString('base64'),
    }
    const added = await this.#catalog.swap(groups[kind], id, encode(kept), undefined, forgottenAt(kept))
    if (added === false) throw new Failure('exists', `There is a ${words[kind]} ${id} already.`)
    return issuedOf(kind, id, kept)
  }

  async #read(kind: IssuedKind, id: string): Promise<{ readonly kept: Kept; readonly version: string } | undefined> {
    const item = isId(id) ? await this.#catalog.get(groups[kind], id) : undefined
    return item && { kept: this.#decoded[kind].of(id, item), version: item.version }
  }

  async #existing(kind: IssuedKind, id: string): Promise<{ readonly kept: Kept; readonly version: string }> {
    const found = await this.#read(kind, id)
    if (found === undefined) throw new Failure('not-found', `There is no ${words[kind]} ${JSON.stringify(id)}.`)
    return found
  }
}

const words: Readonly<Record<IssuedKind, string>> = { key: 'key', 's3-key': 'S3 key', token: 'token' }

/** The SHA-256 of nothing that anybody could send: what unknown ids are compared with. */
const noProof = Buffer.alloc(32).toString('base64')

function digest(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}

function minted(kind: IssuedKind): { readonly id: string; readonly secret: string } {
  if (kind !== 'token') return { id: (kind === 'key' ? keyIds : accessKeyIds).make(), secret: secrets.make() }
  const token = tokens.make()
  return { id: idOfToken(token), secret: token }
}

function isKind(text: string | undefined): text is IssuedKind {
  return text !== undefined && Object.hasOwn(groups, text)
}

function isId(text: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$/.test(text)
}

function issuedOf(kind: IssuedKind, id: string, { name, grants, created, expires }: Kept): Issued {
  return { kind, id, name, grants, created, ...(expires !== undefined && { expires }) }
}

function stampOf(kind: IssuedKind, id: string, version: string): string {
  return `${kind}\n${id}\n${version}`
}

function forgottenAt({ expires }: Kept): Date | undefined {
  return expires === undefined ? undefined : new Date(expires + rememberedMilliseconds)
}

function encode(kept: Kept): Uint8Array {
  return Buffer.from(JSON.stringify(kept))
}

function decode(item: Item): Kept {
  try {
    const record: unknown = JSON.parse(Buffer.from(item.value).toString('utf8'))
    if (isKept(record)) return record
  } catch (cause) {
    throw damaged(cause)
  }
  throw damaged()
}

function isKept(value: unknown): value is Kept {
  if (typeof value !== 'object' || value === null) return false
  const record: Partial<Record<keyof Kept, unknown>> = value
  return (
    typeof record.name === 'string' &&
    Array.isArray(record.grants) &&
    record.grants.every((grant) => typeof grant === 'string') &&
    typeof record.created === 'number' &&
    (record.expires === undefined || typeof record.expires === 'number') &&
    (record.successor === undefined || typeof record.successor === 'string') &&
    typeof record.proof === 'string' &&
    record.proof.length >= noProof.length
  )
}

function damaged(cause?: unknown): Failure {
  return new Failure('unavailable', 'A key or token in the catalog is damaged.', cause === undefined ? {} : { cause })
}

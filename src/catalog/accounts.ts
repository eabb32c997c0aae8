import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Catalog, Item } from './catalog.js'

/** A user that Postern itself manages. */
export interface Account {
  readonly name: string
  /** Argon2id, PHC string format; absent: no password opens it. */
  readonly passwordHash?: string
  /** Grant texts; whoever sets them has checked them. */
  readonly grants: readonly string[]
  readonly disabled: boolean
  /** Milliseconds since the epoch. */
  readonly created: number
  /** The Unix user it acts as under privilege separation. */
  readonly unixUser?: string | undefined
  /** What it sees as the root, in place of what its source says; `/` for the root itself. Whoever sets it has checked it. */
  readonly home?: StorePath | undefined
  /** How many bytes may lie below its home; what the source says without it. */
  readonly quotaBytes?: number | undefined
  /** Where it gets mail. Whoever sets it has checked it. */
  readonly mail?: string | undefined
}

/** An account as it stands: `version` changes with every change of it and never comes again. */
export interface StoredAccount {
  readonly account: Account
  readonly version: string
}

/** What a new account may be told; the rest has defaults. */
export type NewAccount = Pick<Account, 'name' | 'grants'> &
  Partial<Pick<Account, 'passwordHash' | 'disabled' | 'unixUser' | 'home' | 'quotaBytes' | 'mail'>>

const group = 'users'

/** The users of a catalog. Every name is taken in NFC; all verbs throw `invalid` for one that `checkUserName` refuses. */
export class Accounts {
  readonly #catalog: Catalog
  readonly #clock: Clock

  constructor(catalog: Catalog, clock: Clock) {
    this.#catalog = catalog
    this.#clock = clock
  }

  /** Throws `exists`. */
  async add(account: NewAccount): Promise<Account> {
    const made: Account = {
      ...account,
      name: checkUserName(account.name),
      disabled: account.disabled ?? false,
      created: this.#clock.now(),
    }
    const version = await this.#catalog.swap(group, made.name, encode(made), undefined)
    if (version === false) throw new Failure('exists', `There is a user ${JSON.stringify(made.name)} already.`)
    return made
  }

  /** The account, or undefined, also for a name that no account can have. */
  async find(name: string): Promise<StoredAccount | undefined> {
    const normal = userName(name)
    if (normal === undefined) return undefined
    const item = await this.#catalog.get(group, normal)
    return item && { account: decode(normal, item), version: item.version }
  }

  /** Whether the account still is as it was at that version: cheaper than `find`. */
  async isCurrent(name: string, version: string): Promise<boolean> {
    const normal = userName(name)
    return normal !== undefined && (await this.#catalog.get(group, normal))?.version === version
  }

  /** In the order of their names, in batches. */
  async *list(): AsyncIterable<readonly Account[]> {
    for await (const items of this.#catalog.list(group)) yield items.map((item) => decode(item.name, item))
  }

  /** Whether there is no account at all. */
  async isEmpty(): Promise<boolean> {
    for await (const accounts of this.list()) if (accounts.length > 0) return false
    return true
  }

  /** Throws `not-found`. */
  async remove(name: string): Promise<void> {
    const normal = checkUserName(name)
    for (;;) {
      const item = await this.#catalog.get(group, normal)
      if (!item) throw noSuchUser(normal)
      if ((await this.#catalog.swap(group, normal, undefined, item.version)) !== false) return
    }
  }

  /** Throws `not-found`. */
  async setPassword(name: string, passwordHash: string): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, passwordHash }))
  }

  /** Throws `not-found`. */
  async setDisabled(name: string, disabled: boolean): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, disabled }))
  }

  /** Throws `not-found`. */
  async setGrants(name: string, grants: readonly string[]): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, grants }))
  }

  /** Undefined: what the source says. Throws `not-found`. */
  async setHome(name: string, home: StorePath | undefined): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, home }))
  }

  /** In bytes; undefined: what the source says. Throws `not-found`. */
  async setQuota(name: string, quotaBytes: number | undefined): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, quotaBytes }))
  }

  /** Whom the user acts as under privilege separation; undefined: what the source says. Throws `not-found`. */
  async setUnixUser(name: string, unixUser: string | undefined): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, unixUser }))
  }

  /** Undefined: none. Throws `not-found`. */
  async setMail(name: string, mail: string | undefined): Promise<Account> {
    return this.#change(name, (account) => ({ ...account, mail }))
  }

  async #change(name: string, change: (account: Account) => Account): Promise<Account> {
    const normal = checkUserName(name)
    for (;;) {
      const item = await this.#catalog.get(group, normal)
      if (!item) throw noSuchUser(normal)
      const changed = change(decode(normal, item))
      if ((await this.#catalog.swap(group, normal, encode(changed), item.version)) !== false) return changed
    }
  }
}

/**
 * The name in NFC: 1 to 64 characters, none of `/ : \` or a control character, no space at either end, not `.` or `..`,
 * so that it is safe as a part of a path, of a Basic credential and of a log line. Throws `invalid`.
 */
export function checkUserName(name: string): string {
  const normal = userName(name)
  if (normal === undefined)
    throw new Failure(
      'invalid',
      'A name has 1 to 64 characters, none of / : \\ or a control character, no space at either end, and is not . or ..',
    )
  return normal
}

function userName(name: string): string | undefined {
  if (name.length > 4 * maxNameCharacters || !name.isWellFormed()) return undefined
  const normal = name.normalize('NFC')
  if (normal === '' || normal === '.' || normal === '..' || normal.trim() !== normal) return undefined
  if (Array.from(normal).length > maxNameCharacters || unsafeInName.test(normal)) return undefined
  return normal
}

const maxNameCharacters = 64
/** Control and format characters (which could dress one name as another), line separators, and what separates elsewhere. */
const unsafeInName = /[/:\\\p{Cc}\p{Cf}\u2028\u2029]/u

function noSuchUser(name: string): Failure {
  return new Failure('not-found', `There is no user ${JSON.stringify(name)}.`)
}

function encode(account: Account): Uint8Array {
  // The name is that of the item; undefined is left out.
  return Buffer.from(JSON.stringify({ ...account, name: undefined }))
}

function decode(name: string, item: Item): Account {
  try {
    const record: unknown = JSON.parse(Buffer.from(item.value).toString('utf8'))
    if (isRecord(record)) return { ...record, name }
  } catch (cause) {
    throw damaged(name, cause)
  }
  throw damaged(name)
}

function isRecord(value: unknown): value is Omit<Account, 'name'> {
  if (typeof value !== 'object' || value === null) return false
  const record: Partial<Record<keyof Account, unknown>> = value
  return (
    Array.isArray(record.grants) &&
    record.grants.every((grant) => typeof grant === 'string') &&
    typeof record.disabled === 'boolean' &&
    typeof record.created === 'number' &&
    (record.passwordHash === undefined || typeof record.passwordHash === 'string') &&
    (record.unixUser === undefined || typeof record.unixUser === 'string') &&
    (record.home === undefined || typeof record.home === 'string') &&
    (record.quotaBytes === undefined || typeof record.quotaBytes === 'number') &&
    (record.mail === undefined || typeof record.mail === 'string')
  )
}

function damaged(name: string, cause?: unknown): Failure {
  return new Failure('unavailable', 'A record of the catalog is damaged.', {
    cause: cause ?? `user ${JSON.stringify(name)}`,
  })
}

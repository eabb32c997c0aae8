import { createHash, randomBytes } from 'node:crypto'
import type { SourceChanges } from '../../catalog/source-changes.js'
import { Failure } from '../../core/failure.js'
import { maxPasswordBytes } from '../password-hash.js'
import type { PasswordHasher } from '../password-hash.js'
import { checkScopes } from './table-grants.js'
import { isTableName, readScopes } from './users-table.js'
import type { TableRow, UsersTable } from './users-table.js'

/** How a password is kept: as argon2id, or as other readers of the table know it, with or without a salt. */
export type PasswordForm = 'argon2id' | 'sha3' | 'sha3-unsalted'

/** A user of the table as it may be shown: without its hash. */
export interface ShownUser {
  readonly user: string
  /** Undefined where they are of another type than a list of texts. */
  readonly scopes: readonly string[] | undefined
}

export interface UserChange {
  readonly password?: string
  /** argon2id where nothing is said. */
  readonly form?: PasswordForm
  /** Words and grants, in place of all there were. */
  readonly scopes?: readonly string[]
}

export interface TableUsersOptions {
  /** The name of the source in the configuration. */
  readonly source: string
  readonly realm: string
  readonly table: UsersTable
  readonly hasher: PasswordHasher
  readonly changes: SourceChanges
}

/**
 * Manages the users of a table for those who may. What is changed here counts from the next request, for everybody who
 * shares the catalog. All verbs throw `invalid` for a name that no row can have or a scope that is not right, `unavailable`,
 * and `denied` where the role may not.
 */
export class TableUsers {
  readonly source: string
  readonly realm: string
  readonly #options: TableUsersOptions

  constructor(options: TableUsersOptions) {
    this.source = options.source
    this.realm = options.realm
    this.#options = options
  }

  async find(user: string): Promise<ShownUser | undefined> {
    const row = await this.#options.table.find(checkTableName(user), { consistent: true })
    return row && shown(user, row)
  }

  /** Throws `exists` for a `new` one that is there, `not-found` for an `existing` one that is not; `invalid` for the password. */
  async write(user: string, change: UserChange, which: 'new' | 'existing' | 'any'): Promise<'made' | 'changed'> {
    const { table, changes } = this.#options
    checkTableName(user)
    const { password, form = 'argon2id', scopes } = change
    const done = await table.write(
      user,
      {
        ...(password !== undefined && { password: await this.#hashed(password, form) }),
        ...(scopes && { scopes: checkScopes(scopes) }),
      },
      which,
    )
    await changes.tell(user)
    return done
  }

  /** Throws `not-found`. */
  async remove(user: string): Promise<void> {
    await this.#options.table.remove(checkTableName(user))
    await this.#options.changes.tell(user)
  }

  /** In the order of the table, in batches. */
  async *list(): AsyncIterable<readonly ShownUser[]> {
    for await (const rows of this.#options.table.list()) yield rows.map(({ user, row }) => shown(user, row))
  }

  close(): void {
    this.#options.table.close()
  }

  async #hashed(password: string, form: PasswordForm): Promise<{ readonly hash: string; readonly salt?: string }> {
    if (form === 'argon2id') return { hash: await this.#options.hasher.hash(password) }
    if (password === '') throw new Failure('invalid', 'The password is empty.')
    if (Buffer.byteLength(password) > maxPasswordBytes)
      throw new Failure('invalid', `The password is longer than ${maxPasswordBytes} bytes.`)
    // As `secrets.token_hex(32)` of the old user manager: 64 digits, put before the password as text.
    const salt = form === 'sha3' ? randomBytes(32).toString('hex') : undefined
    const hash = createHash('sha3-256')
      .update((salt ?? '') + password)
      .digest('hex')
    return { hash, ...(salt !== undefined && { salt }) }
  }
}

function shown(user: string, row: TableRow): ShownUser {
  const scopes = readScopes(row)
  return { user, scopes: typeof scopes === 'string' ? undefined : scopes }
}

function checkTableName(user: string): string {
  if (isTableName(user) && !user.includes(':')) return user
  throw new Failure('invalid', 'A user name has 1 to 1,024 bytes, no colon and no control character.')
}

import { isFailure } from '../../core/failure.js'
import type { SourceChanges } from '../../catalog/source-changes.js'
import type { Directory, Verdict } from '../identity.js'
import { verifySha3 } from '../password-formats/sha3.js'
import type { PasswordHasher } from '../password-hash.js'
import { grantsOf } from './table-grants.js'
import type { TableGrants } from './table-grants.js'
import { isTableName, readRow } from './users-table.js'
import type { TableUser, UsersTable } from './users-table.js'

export interface DynamodbDirectoryOptions extends TableGrants {
  /** What its identities are said to come from. */
  readonly name: string
  readonly table: UsersTable
  readonly hasher: PasswordHasher
  /** What Postern itself has changed in the table. */
  readonly changes: SourceChanges
  /** Put an argon2id hash in place of a SHA3 one when its password is shown. */
  readonly rehash: boolean
  /** Never told a secret or a hash. */
  readonly warn: (facts: object, message: string) => void
}

/**
 * The users table of pam-dynamo: realm and user as key, `password` as SHA3-256 in hex with an optional `salt` before it,
 * or as argon2id, and `scopes`. All failures cost the same: one read, one SHA3 and one argon2. A success with SHA3 needs
 * no argon2. What Postern changes in the table ends what was remembered of the user, and is read consistently from then on.
 */
export function dynamodbDirectory(options: DynamodbDirectoryOptions): Directory {
  const { name, table, hasher, changes, warn } = options
  const rehash = options.rehash ? rehasher(options) : undefined

  async function isRight(user: TableUser | undefined, password: string): Promise<boolean> {
    const argon2id = user?.form === 'argon2id'
    const bySha3 = verifySha3(argon2id ? undefined : user?.hash, user?.salt, password)
    if (bySha3 && password !== '') return true
    return (await hasher.verify(argon2id ? user.hash : undefined, password)) && argon2id
  }

  return {
    name,
    accepts: new Set(['password'] as const),
    async check(credential): Promise<Verdict> {
      if (credential.kind !== 'password') return { kind: 'unknown' }
      const { name: user, password } = credential
      // Before the row is read: a change that comes in between makes the verdict an old one.
      const stamp = await changes.stampOf(user)
      const row = isTableName(user) ? await table.find(user, { consistent: changes.isChange(stamp) }) : undefined
      const read = row && readRow(row, (hash) => hasher.accepts(hash))
      const known = typeof read === 'string' ? undefined : read
      const right = await isRight(known, password)
      if (row === undefined) return { kind: 'unknown' }
      if (typeof read === 'string') warn({ source: name, user }, `A row of the users table is refused: ${read}.`)
      if (known === undefined) return { kind: 'refused', why: 'broken-row' }
      if (!right) return { kind: 'refused', why: 'wrong-password' }
      try {
        const identity = { name: user, source: name, grants: grantsOf(known.scopes, options, user) }
        rehash?.(user, known, password)
        return { kind: 'identity', identity, stamp }
      } catch (error) {
        if (!isFailure(error, 'invalid', 'denied')) throw error
        warn({ source: name, user }, `The scopes of a user are refused: ${error.message}`)
        return { kind: 'refused', why: 'broken-scopes' }
      }
    },
    current: async (identity, stamp) => (await changes.stampOf(identity.name)) === stamp,
  }
}

/** Works beside the login, which does not wait for it. */
function rehasher({
  name,
  table,
  hasher,
  warn,
}: DynamodbDirectoryOptions): (user: string, seen: TableUser, password: string) => void {
  const running = new Set<string>()
  let mayWrite = true

  async function run(user: string, seen: TableUser, password: string): Promise<void> {
    try {
      await table.rehash(user, seen, await hasher.hash(password))
    } catch (error) {
      // A password that argon2 is not given, or no turn for it now.
      if (isFailure(error, 'invalid', 'throttled')) return
      // Whoever may not write, may not write the next one either.
      if (isFailure(error, 'denied')) mayWrite = false
      warn({ source: name, user, err: error }, 'The hash of a user could not be made a stronger one.')
    } finally {
      running.delete(user)
    }
  }

  return (user, seen, password) => {
    if (seen.form !== 'sha3' || !mayWrite || running.has(user)) return
    running.add(user)
    void run(user, seen, password)
  }
}

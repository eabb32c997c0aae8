import { mkdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Audit } from '../auth/audit.js'
import { createPasswordHasher } from '../auth/password-hash.js'
import type { PasswordHasher } from '../auth/password-hash.js'
import { Accounts } from '../catalog/accounts.js'
import type { Catalog } from '../catalog/catalog.js'
import { Credentials } from '../catalog/credentials.js'
import { openSecret } from '../catalog/secret.js'
import { openSqliteCatalog } from '../catalog/sqlite.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { commandUser, openAuditFile } from './audit-file.js'
import type { Config } from './load.js'

/** What Postern remembers, opened for one process. */
export interface State {
  readonly catalog: Catalog
  readonly accounts: Accounts
  readonly hasher: PasswordHasher
  readonly audit: Audit
  /** Who has started this process, as the audit log names those who give commands. */
  readonly startedBy: string
  close(): Promise<void>
}

/**
 * Opens the state directory. A process of root first becomes the owner of it for good, so that no file in there ever
 * belongs to root by accident. With `create` it is made (0700) where there is none; else that is `not-found`. Throws
 * `unavailable` where it cannot be made or used. `onTrouble` is told when the audit log cannot be
 * written; without it, standard error is.
 */
export async function openState(
  config: Pick<Config, 'state' | 'durability'>,
  options: { readonly create: boolean; readonly onTrouble?: (error: unknown, message: string) => void },
): Promise<State> {
  const { state, durability } = config
  if (options.create) makeDirectory(state, 'state', 'Name another place with --state.')
  const owner = statSync(state, { throwIfNoEntry: false })
  if (owner === undefined)
    throw new Failure(
      'not-found',
      `There is no state directory ${state} yet. Start "postern serve" first, or name the right one with --state or --config.`,
    )
  if (!owner.isDirectory()) throw new Failure('not-directory', `The state ${state} is not a directory.`)
  const { onTrouble = complain } = options
  const startedBy = commandUser()
  becomeOwner(owner)
  const audit = openAuditFile({
    state,
    clock: systemClock,
    onTrouble: (error) => onTrouble(error, 'the audit log cannot be written'),
  })
  const catalog = await openSqliteCatalog({
    file: join(state, 'catalog.sqlite'),
    clock: systemClock,
    durability,
  }).catch((error: unknown) => {
    audit.close()
    throw error
  })
  return {
    catalog,
    accounts: new Accounts(catalog, systemClock),
    hasher: createPasswordHasher(),
    audit,
    startedBy,
    async close() {
      audit.close()
      await catalog.close()
    },
  }
}

/** The keys and tokens of an open state, under its secret. Throws what `openSecret` throws. */
export async function openCredentials(
  { catalog }: Pick<State, 'catalog'>,
  { state }: Pick<Config, 'state'>,
): Promise<Credentials> {
  return new Credentials(catalog, systemClock, await openSecret(state))
}

/** Makes a directory (0700 for the state, else as the umask says) with all above it. Throws `unavailable` with the reason in words. */
export function makeDirectory(path: string, what: 'root' | 'state', advice: string): void {
  try {
    mkdirSync(path, { recursive: true, ...(what === 'state' && { mode: 0o700 }) })
  } catch (cause) {
    throw new Failure('unavailable', `The ${what} ${path} cannot be made: ${reasonOf(cause)}. ${advice}`, { cause })
  }
}

/** A system error in words, for those a person can do something about. */
export function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `this user (${userName()}) has no permission`
    case 'EEXIST':
    case 'ENOTDIR':
      return 'a file stands in its way'
    case 'ENOENT':
      return 'it is not there'
    case 'EROFS':
      return 'its disk is read-only'
    case 'ENOSPC':
      return 'its disk is full'
    default:
      return code ?? String(error)
  }
}

function complain(error: unknown, message: string): void {
  process.stderr.write(`${message}: ${reasonOf(error)}\n`)
}

function userName(): string {
  return `uid ${process.geteuid?.() ?? 'unknown'}`
}

function becomeOwner({ uid, gid }: { readonly uid: number; readonly gid: number }): void {
  if (process.geteuid?.() !== 0 || uid === 0) return
  process.setgroups?.([gid])
  process.setgid?.(gid)
  process.setuid?.(uid)
}

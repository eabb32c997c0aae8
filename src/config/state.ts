import { mkdirSync, statSync } from 'node:fs'
import type { Audit } from '../auth/audit.js'
import { createPasswordHasher } from '../auth/password-hash.js'
import type { PasswordHasher } from '../auth/password-hash.js'
import { Accounts } from '../catalog/accounts.js'
import type { Catalog } from '../catalog/catalog.js'
import { Credentials } from '../catalog/credentials.js'
import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { commandUser, openAuditFile } from './audit-file.js'
import type { AuditFile } from './audit-file.js'
import { isShared, openCatalog } from './catalogs.js'
import type { CatalogSettings } from './catalogs.js'
import { installationSecret } from './installation-secret.js'
import type { Config } from './load.js'

/** What Postern remembers, opened for one process. */
export interface State {
  readonly catalog: Catalog
  /** By which what is in the catalog ends: that of the database where it is another host's. */
  readonly clock: Clock
  readonly accounts: Accounts
  readonly hasher: PasswordHasher
  readonly audit: Audit
  /** Who has started this process, as the audit log names those who give commands. */
  readonly startedBy: string
  close(): Promise<void>
}

export interface StateOptions {
  /** Make the state directory where there is none; else that is `not-found`. */
  readonly create: boolean
  /** Told what goes wrong beside the work; without it, standard error is. */
  readonly onTrouble?: (error: unknown, message: string) => void
  /** Takes the audit events where there is no state directory to write them to. */
  readonly audit?: Audit
}

/**
 * Opens the state directory and the catalog. A process of root first becomes the owner of the directory for good, so that
 * no file in there ever belongs to root by accident. It is made (0700) where it may be; with a shared catalog it may be
 * missing. Throws `unavailable` where it cannot be made or used, and what `openCatalog` throws.
 */
export async function openState(config: CatalogSettings, options: StateOptions): Promise<State> {
  const { onTrouble = complain } = options
  const hasDirectory = prepareDirectory(config, options)
  const startedBy = commandUser()
  if (hasDirectory) becomeOwner(statSync(config.state))
  const audit = hasDirectory ? openAudit(config.state, onTrouble) : withoutFile(options.audit ?? noAudit)
  try {
    const { catalog, clock } = await openCatalog(config, (facts, message) => onTrouble(facts, message))
    return {
      catalog,
      clock,
      accounts: new Accounts(catalog, clock),
      hasher: createPasswordHasher(),
      audit,
      startedBy,
      async close() {
        audit.close()
        await catalog.close()
      },
    }
  } catch (error) {
    audit.close()
    throw error
  }
}

function withoutFile(audit: Audit): AuditFile {
  return { write: (event) => audit.write(event), close: () => undefined }
}

const noAudit: Audit = { write: () => undefined }

/** Whether there is a state directory. Only a shared catalog does without. */
function prepareDirectory(config: CatalogSettings, { create }: StateOptions): boolean {
  const { state } = config
  try {
    if (create) makeDirectory(state, 'state', 'Name another place with --state.')
  } catch (error) {
    if (isShared(config) && isFailure(error, 'unavailable')) return false
    throw error
  }
  const found = statSync(state, { throwIfNoEntry: false })
  if (found?.isDirectory() === true) return true
  if (found !== undefined) throw new Failure('not-directory', `The state ${state} is not a directory.`)
  if (isShared(config)) return false
  throw new Failure(
    'not-found',
    `There is no state directory ${state} yet. Start "postern serve" first, or name the right one with --state or --config.`,
  )
}

function openAudit(state: string, onTrouble: (error: unknown, message: string) => void): AuditFile {
  const onFault = (error: unknown): void => onTrouble(error, 'the audit log cannot be written')
  return openAuditFile({ state, clock: systemClock, onTrouble: onFault })
}

/** The keys and tokens of an open state, under its secret. Throws what `installationSecret` throws. */
export async function openCredentials(
  { catalog, clock }: Pick<State, 'catalog' | 'clock'>,
  config: Pick<Config, 'state' | 'secret'>,
): Promise<Credentials> {
  return new Credentials(catalog, clock, await installationSecret(config))
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

import type { AuditEvent, KeyEvent, UserEvent } from '../auth/audit.js'
import { parseGrant } from '../auth/grant.js'
import type { Issued } from '../catalog/credentials.js'
import { auditLine } from '../config/audit-file.js'
import { openState } from '../config/state.js'
import type { State } from '../config/state.js'
import type { Config } from '../config/load.js'
import { systemClock } from '../core/clock.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'

/** Does some work on the state that the options name, which must be there. Throws what `openState` throws. */
export async function withState(
  options: ConfigOptions,
  work: (state: State, config: Config) => Promise<void>,
): Promise<void> {
  const config = settle(options)
  const state = await openState(config, { create: false, audit: { write: tellAudit } })
  try {
    await work(state, config)
  } finally {
    await state.close()
  }
}

/** Where there is no state directory, as in a container over a shared catalog, what a process writes to standard error is its log. */
function tellAudit(event: AuditEvent): void {
  process.stderr.write(auditLine(event, systemClock.now()))
}

/** What a command has done to a user, for the audit log. */
export function noteUser(
  { audit, startedBy }: Pick<State, 'audit' | 'startedBy'>,
  change: Omit<UserEvent, 'event' | 'by'>,
): void {
  audit.write({ event: 'user-changed', ...change, by: startedBy })
}

/** What a command has done to a key or a token, for the audit log. */
export function noteKey(
  { audit, startedBy }: Pick<State, 'audit' | 'startedBy'>,
  change: Pick<KeyEvent, 'what' | 'replaces'>,
  { kind, id, name, grants, expires }: Issued,
): void {
  const what = { ...change, kind, source: 'catalog', id, name, grants }
  const end = expires === undefined ? {} : { expires: new Date(expires).toISOString() }
  audit.write({ event: 'key-changed', ...what, ...end, by: startedBy })
}

/** Grants as they are to be kept. Throws `invalid`. */
export function checkedGrants(grants: readonly string[] = []): readonly string[] {
  return grants.map((grant) => parseGrant(grant).text)
}

/** Rows below their heads, as wide as their widest cell; the last column runs on. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const all = [heads, ...rows]
  const widths = heads.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  return all.map((row) => row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('  ')) // prettier-ignore
}

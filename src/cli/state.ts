import { parseGrant } from '../auth/grant.js'
import { openState } from '../config/state.js'
import type { State } from '../config/state.js'
import type { Config } from '../config/load.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'

/** Does some work on the state that the options name, which must be there. Throws what `openState` throws. */
export async function withState(
  options: ConfigOptions,
  work: (state: State, config: Config) => Promise<void>,
): Promise<void> {
  const config = settle(options)
  const state = await openState(config, { create: false })
  try {
    await work(state, config)
  } finally {
    await state.close()
  }
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

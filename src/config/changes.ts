import { isDeepStrictEqual } from 'node:util'
import type { Config } from './load.js'

/** What a configuration that was loaded again means for a server that runs. */
export interface Changes {
  /** What can be served from now on: the new settings, but for those that wait. */
  readonly config: Config
  /** The keys that differ from what is served, such as `anonymous` and `limits.stopSeconds`. */
  readonly changed: readonly string[]
  /** The keys that differ and take effect at the next start. */
  readonly waiting: readonly string[]
}

/** The limits that do not belong to a socket. */
const liveLimits: readonly string[] = ['listedMembers', 'stopSeconds']

/** Compares what is served with what was loaded. */
export function changesBetween(served: Config, loaded: Config): Changes {
  const limits = { ...served.limits, ...pick(loaded.limits, liveLimits) }
  // Processes of users know their mounts by number from the start on, and the broker what each process may do.
  const ofBroker = served.privsep === undefined && loaded.privsep === undefined ? [] : ['mounts', 'root', 'privsep']
  const config: Config = {
    ...swapped(loaded, served, ['catalog', 'secret', ...ofBroker]),
    state: served.state,
    workers: served.workers,
    limits,
    log: { ...loaded.log, format: served.log.format },
    // Locks and properties in the state belong to the files of these stores.
    ...((loaded.state !== served.state || !isDeepStrictEqual(loaded.catalog, served.catalog)) && {
      mounts: served.mounts,
      root: served.root,
    }),
  }
  return { config, changed: differences(served, config), waiting: differences(config, loaded) }
}

/** One with some keys as the other has them, or has not. */
function swapped(one: Config, other: Config, keys: readonly string[]): Config {
  const kept = Object.entries(one).filter(([key]) => !keys.includes(key))
  return Object.assign(Object.fromEntries(kept) as unknown as Config, pick(other, keys))
}

function pick<Settings extends object>(settings: Settings, keys: readonly string[]): Partial<Settings> {
  return Object.fromEntries(Object.entries(settings).filter(([key]) => keys.includes(key))) as Partial<Settings>
}

function differences(one: Config, other: Config): readonly string[] {
  // What neither of the two was given by.
  const unnamed = one.root !== undefined && other.root !== undefined ? 'mounts' : 'root'
  const before = flat(one, unnamed)
  const after = flat(other, unnamed)
  return [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key)).sort()
}

/** By key, one level deeper for the groups of settings that are told apart. */
function flat({ limits, log, ...rest }: Config, unnamed: string): ReadonlyMap<string, string> {
  const entries: readonly (readonly [string, unknown])[] = [
    ...Object.entries(rest).filter(([key]) => !['file', 'warnings', unnamed].includes(key)),
    ...Object.entries(limits).map(([key, value]) => [`limits.${key}`, value] as const),
    ...Object.entries(log).map(([key, value]) => [`log.${key}`, value] as const),
  ]
  return new Map(entries.map(([key, value]) => [key, JSON.stringify(value ?? null)]))
}

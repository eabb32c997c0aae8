import { readEnvironment } from '../config/environment.js'
import { loadConfig } from '../config/load.js'
import type { Config, ConfigSources } from '../config/load.js'
import type { ServeOptions } from './options.js'

/** The configuration as this command line makes it. Throws `invalid`. */
export function settle(options: ServeOptions, root?: string): Config {
  return loadConfig(sourcesOf(options, root))
}

/** Everything that a configuration is made of, with this command line. */
export function sourcesOf(options: ServeOptions, root?: string): ConfigSources {
  const flag = (name: string, value: unknown): { flag: string; value: unknown } | undefined =>
    value === undefined ? undefined : { flag: name, value }
  const { workers } = options
  return {
    directory: process.cwd(),
    file: options.config,
    environment: readEnvironment(),
    flags: {
      root: flag('DIR', root),
      state: flag('--state', options.state),
      listen: flag('--listen', options.listen),
      durability: flag('--durability', options.durability),
      tls: flag('--tls', options.tls),
      privsep: flag('--privsep', options.privsep),
      workers: flag('--workers', workers !== undefined && /^\d+$/.test(workers) ? Number(workers) : workers),
    },
  }
}

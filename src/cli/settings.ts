import type { Command } from 'commander'
import { readEnvironment } from '../config/environment.js'
import { loadConfig } from '../config/load.js'
import type { Config } from '../config/load.js'

/** The options of every command that needs the configuration. */
export interface ConfigOptions {
  readonly config?: string
  readonly state?: string
}

/** What `postern serve` can be told beside that. */
export interface ServeOptions extends ConfigOptions {
  readonly listen?: readonly string[]
  readonly durability?: string
  readonly tls?: string
}

export function withConfigOptions(command: Command): Command {
  return command
    .option('--state <directory>', 'where Postern keeps its state (default: the served directory + .postern)')
    .option('--config <file>', 'configuration file (default: ./postern.yaml, where there is one)')
}

/** The configuration as this command line makes it. Throws `invalid`. */
export function settle(options: ServeOptions, root?: string): Config {
  const flag = (name: string, value: unknown): { flag: string; value: unknown } | undefined =>
    value === undefined ? undefined : { flag: name, value }
  return loadConfig({
    directory: process.cwd(),
    file: options.config,
    environment: readEnvironment(),
    flags: {
      root: flag('DIR', root),
      state: flag('--state', options.state),
      listen: flag('--listen', options.listen),
      durability: flag('--durability', options.durability),
      tls: flag('--tls', options.tls),
    },
  })
}

/** For options that may be given again and again. */
export function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value]
}

import type { Command } from 'commander'

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
  readonly workers?: string
  readonly privsep?: boolean
}

export function withConfigOptions(command: Command): Command {
  return command
    .option('--state <directory>', 'where Postern keeps its state (default: the served directory + .postern)')
    .option('--config <file>', 'configuration file (default: ./postern.yaml, where there is one)')
}

/** For options that may be given again and again. */
export function collect(value: string, earlier: readonly string[] | undefined): readonly string[] {
  return [...(earlier ?? []), value]
}

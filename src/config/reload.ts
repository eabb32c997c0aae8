import { statSync } from 'node:fs'
import type { Logger } from 'pino'
import { Failure } from '../core/failure.js'
import { changesBetween } from './changes.js'
import type { Config, ConfigSources } from './load.js'
import { loadConfig } from './load.js'
import { prepareSetup } from './setup.js'
import type { Setup } from './setup.js'
import { FileWatch } from './watch.js'

export interface ReloadOptions {
  /** What the running configuration was made of. */
  readonly sources: ConfigSources
  readonly setup: Setup
  readonly log: Logger
  /** What `prepareSetup` does, without it. */
  readonly prepare?: (config: Config) => Promise<Setup>
  /** Serves by this from now on. Where it throws, what was served before still is. */
  readonly apply: (setup: Setup) => Promise<void>
}

/** Keeps a running server at what its files say. */
export class Reload {
  readonly #options: ReloadOptions
  readonly #watch: FileWatch
  #setup: Setup
  #running: Promise<void> | undefined
  #wanted: 'change' | 'order' | undefined
  #closed = false

  /** Watches the configuration file and those of the certificate, from now on. */
  constructor(options: ReloadOptions) {
    this.#options = options
    this.#setup = options.setup
    this.#watch = new FileWatch(() => this.#want('change'))
    this.#watchFiles(options.setup.config)
    // What was changed while the server started is seen by reading once more.
    this.#watch.soon()
  }

  /** Somebody wants the files to be read again now. */
  order(): void {
    this.#want('order')
  }

  /** Begins nothing more; resolves when nothing is being applied. */
  async close(): Promise<void> {
    this.#closed = true
    this.#watch.close()
    await this.#running
  }

  #want(why: 'change' | 'order'): void {
    if (this.#closed) return
    this.#wanted = this.#wanted === 'order' ? 'order' : why
    this.#running ??= this.#run().finally(() => (this.#running = undefined))
  }

  /** Until what was read last is what was asked for last. */
  async #run(): Promise<void> {
    while (this.#wanted !== undefined && !this.#closed) {
      const ordered = this.#wanted === 'order'
      this.#wanted = undefined
      try {
        await this.#once(ordered)
      } catch (error) {
        const { log } = this.#options
        if (error instanceof Failure) log.error(`${error.message}\nThe configuration before this one goes on.`)
        else log.error({ err: error }, 'The new configuration cannot be applied; the one before it goes on.')
      }
    }
  }

  async #once(ordered: boolean): Promise<void> {
    const { log, apply, prepare = prepareSetup } = this.#options
    const loaded = this.#load()
    const { config, changed, waiting } = changesBetween(this.#setup.config, loaded)
    // From the first look at it a certificate is watched, even where it is not good yet.
    this.#watchFiles(loaded)
    const { pair } = await prepare(config)
    const next: Setup = { config, ...(pair && { pair }) }
    const keys = [...changed, ...(samePair(this.#setup, next) ? [] : ['tls (certificate)'])]
    if (keys.length > 0) {
      await apply(next)
      this.#setup = next
      log.info({ changed: keys }, `configuration applied: ${keys.join(', ')}`)
    } else if (ordered) log.info('configuration read again: nothing has changed')
    if (waiting.length > 0) log.warn({ waiting }, `takes effect at the next start: ${waiting.join(', ')}`)
  }

  #load(): Config {
    const { sources } = this.#options
    const { file } = this.#setup.config
    if (file === undefined) return loadConfig(sources)
    // An editor may be about to write it; as a configuration it would mean all defaults, another root among them.
    if (statSync(file, { throwIfNoEntry: false })?.size === 0) throw new Failure('invalid', `${file}: is empty.`)
    // By its name, so that one that was found is missed, too, when it is gone.
    const named = sources.file ?? sources.environment.POSTERN_CONFIG
    return loadConfig({ ...sources, file: named === undefined || named === '' ? 'postern.yaml' : named })
  }

  #watchFiles({ file, tls }: Config): void {
    const certificate = typeof tls === 'object' ? [tls.cert, tls.key] : []
    this.#watch.watch(file === undefined ? certificate : [file, ...certificate])
  }
}

function samePair({ pair: one }: Setup, { pair: other }: Setup): boolean {
  return one?.cert === other?.cert && one?.key === other?.key
}

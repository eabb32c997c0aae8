import { loadConfig } from '../../config/load.js'
import type { ServeOptions } from '../options.js'
import { sourcesOf } from '../settings.js'
import { serveAlone } from './alone.js'
import { serveByWorkers } from './primary.js'

/** Serves until told to stop; resolves to the exit code. Throws `invalid` for the configuration, and whatever keeps it from starting. */
export async function serve(options: ServeOptions, directory: string | undefined): Promise<number> {
  const sources = sourcesOf(options, directory)
  const config = loadConfig(sources)
  if (config.privsep !== undefined) {
    const { serveSeparated } = await import('./separated.js')
    return await serveSeparated(config, sources)
  }
  return config.workers > 1 ? await serveByWorkers(config, sources) : await serveAlone(config, sources)
}

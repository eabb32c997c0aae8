import { loadConfig } from '../../config/load.js'
import type { ServeOptions } from '../options.js'
import { sourcesOf } from '../settings.js'

/** Serves until told to stop; resolves to the exit code. Throws `invalid` for the configuration, and whatever keeps it from starting. */
export async function serve(options: ServeOptions, directory: string | undefined): Promise<number> {
  const sources = sourcesOf(options, directory)
  const config = loadConfig(sources)
  // Each loads only what it needs.
  if (config.workers > 1) {
    const { serveByWorkers } = await import('./primary.js')
    return await serveByWorkers(config, sources)
  }
  const { serveAlone } = await import('./alone.js')
  return await serveAlone(config, sources)
}

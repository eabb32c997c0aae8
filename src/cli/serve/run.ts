import { isDropOnly } from '../../config/dropbox-environment.js'
import { loadConfig } from '../../config/load.js'
import type { Config, ConfigSources } from '../../config/load.js'
import { configKeys, variableOf } from '../../config/schema.js'
import type { ServeOptions } from '../options.js'
import { sourcesOf } from '../settings.js'
import { serveAlone } from './alone.js'
import { serveByWorkers } from './primary.js'

/** Serves until told to stop; resolves to the exit code. Throws `invalid` for the configuration, and whatever keeps it from starting. */
export async function serve(options: ServeOptions, directory: string | undefined): Promise<number> {
  const sources = sourcesOf(options, directory)
  const config = loadConfig(sources)
  if (isDropOnly(sources.environment) && !isConfigured(config, sources)) {
    const { serveDrop } = await import('./drop.js')
    return await serveDrop(config, sources.environment)
  }
  if (config.privsep !== undefined) {
    const { serveSeparated } = await import('./separated.js')
    return await serveSeparated(config, sources)
  }
  return config.workers > 1 ? await serveByWorkers(config, sources) : await serveAlone(config, sources)
}

/** What says how to answer, and not what with. */
const plainKeys = ['listen', 'limits', 'log', 'trustedProxies', 'proxyHeaders', 'cdn']

/** Whether anything says what is to be served, in place of the one drop that the environment of s3-dropbox means. */
function isConfigured({ file }: Config, { environment, flags }: ConfigSources): boolean {
  const isSaid = (key: string): boolean => flags[key] !== undefined || (environment[variableOf(key)] ?? '') !== ''
  return file !== undefined || configKeys.some((key) => !plainKeys.includes(key) && isSaid(key))
}

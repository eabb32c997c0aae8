import { isDropOnly } from '../../config/dropbox-environment.js'
import { loadConfig } from '../../config/load.js'
import type { Config, ConfigSources } from '../../config/load.js'
import { configKeys, variableOf } from '../../config/schema.js'
import { Failure } from '../../core/failure.js'
import type { ServeOptions } from '../options.js'
import { sourcesOf } from '../settings.js'
import { serveAlone } from './alone.js'
import { serveByWorkers } from './primary.js'

/** Serves until told to stop; resolves to the exit code. Throws `invalid` for the configuration, and whatever keeps it from starting. */
export async function serve(options: ServeOptions, directory: string | undefined): Promise<number> {
  const sources = sourcesOf(options, directory)
  const config = loadConfig(sources)
  if (!isConfigured(config, sources) && isDropOnly(sources.environment)) {
    refuseOthers(sources)
    const { serveDrop } = await import('./drop.js')
    return await serveDrop(config, sources.environment)
  }
  if (config.privsep !== undefined) {
    const { serveSeparated } = await import('./separated.js')
    return await serveSeparated(config, sources)
  }
  return config.workers > 1 ? await serveByWorkers(config, sources) : await serveAlone(config, sources)
}

/** What says what is to be served. */
const servedKeys = ['root', 'mounts', 'drops', 'identity', 'anonymous', 'catalog', 'state', 's3', 'privsep']
/** What one drop alone is served by. */
const dropKeys = ['listen', 'limits', 'log', 'trustedProxies', 'proxyHeaders', 'cdn']

/** Whether anything says what is to be served, in place of the one drop that the environment of s3-dropbox means. */
function isConfigured({ file }: Config, sources: ConfigSources): boolean {
  return file !== undefined || servedKeys.some((key) => isSaid(key, sources))
}

/** Nobody is to believe that a setting holds which one drop alone does not know. */
function refuseOthers(sources: ConfigSources): void {
  const others = configKeys.filter((key) => ![...servedKeys, ...dropKeys].includes(key) && isSaid(key, sources))
  if (others.length > 0)
    throw new Failure(
      'invalid',
      `${others.map((key) => sources.flags[key]?.flag ?? variableOf(key)).join(', ')}: not for the one drop that BUCKET and AUTH_TOKEN mean. Leave it out, or configure drops of your own (docs/drops.md).`,
    )
}

function isSaid(key: string, { environment, flags }: ConfigSources): boolean {
  return flags[key] !== undefined || (environment[variableOf(key)] ?? '') !== ''
}

import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import { createChangeFeed } from '../catalog/changes.js'
import type { ChangeFeed } from '../catalog/changes.js'
import type { Clock } from '../core/clock.js'
import { isShared } from './catalogs.js'
import type { Config } from './load.js'

/** What is done to the files: told through the catalog where several processes serve them. */
export function changeFeedOf(
  settings: Pick<Config, 'catalog' | 'workers' | 'events'>,
  { catalog, clock, log }: { readonly catalog: Catalog; readonly clock: Clock; readonly log: Logger },
): ChangeFeed {
  return createChangeFeed({
    clock,
    catalog: isShared(settings) || settings.workers > 1 ? catalog : undefined,
    keepSeconds: settings.events.keepSeconds,
    onError: (err) => log.warn({ err }, 'changes could not be told to other processes; this is tried again'),
  })
}

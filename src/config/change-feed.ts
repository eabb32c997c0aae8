import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import { createChangeFeed } from '../catalog/changes.js'
import type { ChangeFeed } from '../catalog/changes.js'
import type { Outbox } from '../catalog/outbox.js'
import type { Clock } from '../core/clock.js'
import { isShared } from './catalogs.js'
import type { Config } from './load.js'
import { webhookReportsOf } from './webhooks.js'

export interface ChangeFeedNeeds {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly outbox: Outbox
  readonly log: Logger
}

/** What is done to the files: told through the catalog where several processes serve them, and to the webhooks that are configured. */
export function changeFeedOf(
  settings: Pick<Config, 'catalog' | 'workers' | 'events' | 'webhooks'>,
  { catalog, clock, outbox, log }: ChangeFeedNeeds,
): ChangeFeed {
  const feed = createChangeFeed({
    clock,
    catalog: isShared(settings) || settings.workers > 1 ? catalog : undefined,
    keepSeconds: settings.events.keepSeconds,
    onError: (err) => log.warn({ err }, 'changes could not be told to other processes; this is tried again'),
  })
  const hooks = webhookReportsOf(settings.webhooks, outbox, (facts, message) => log.warn(facts, message))
  if (hooks === undefined) return feed
  return {
    report(change) {
      feed.report(change)
      hooks.report(change)
    },
    follow: (after, signal) => feed.follow(after, signal),
    here: () => feed.here(),
    dismiss: () => feed.dismiss(),
    async flush() {
      await Promise.all([feed.flush(), hooks.flush()])
    },
    async close() {
      await Promise.all([feed.close(), hooks.flush()])
    },
  }
}

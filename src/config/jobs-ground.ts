import { statSync } from 'node:fs'
import type { Logger } from 'pino'
import { Failure } from '../core/failure.js'
import { isShared } from './catalogs.js'
import { openGround } from './ground.js'
import type { Ground } from './ground.js'
import type { Config } from './load.js'

/**
 * The ground of a command that runs jobs beside a server, or without one: nobody logs in on it, and nothing begins by
 * itself. Where callers act as Unix users it has what is everybody's, for only the server gets at the files of users.
 * Throws `not-found` where there is no state yet, and what `openGround` throws.
 */
export async function openJobsGround(config: Config, log: Logger): Promise<Ground> {
  const { privsep, mounts } = config
  const state = privsep?.records ?? config.state
  if ((privsep !== undefined || !isShared(config)) && statSync(state, { throwIfNoEntry: false }) === undefined)
    throw new Failure(
      'not-found',
      `There is no state directory ${state} yet. Start "postern serve" first, or name the right one with --state or --config.`,
    )
  if (privsep === undefined) return openGround({ ...config, identity: [] }, { log, sweeps: false, keepsUp: false })
  // The records of the process on the network are in a place of their own.
  const own = Object.entries(config).filter(([key]) => key !== 'catalog' && key !== 'secret')
  const settings = {
    ...(Object.fromEntries(own) as unknown as Config),
    identity: [],
    state,
    mounts: mounts.filter((mount) => mount.kind === 's3' || !mount.separated),
  }
  return openGround(settings, { log, sweeps: false, keepsUp: false, everybodys: true })
}

import { begin } from '../../config/begin.js'
import { readEnvironment } from '../../config/environment.js'
import { openGround, sameGround } from '../../config/ground.js'
import type { Ground } from '../../config/ground.js'
import type { Config, ConfigSources, ListenSetting } from '../../config/load.js'
import { createLogger } from '../../config/logger.js'
import { Reload } from '../../config/reload.js'
import type { Setup } from '../../config/setup.js'
import type { Listening } from '../../transport/node-http.js'
import { freeSocketPath } from '../../transport/unix-socket.js'
import { announce, printListening } from './announce.js'
import { Crew } from './crew.js'
import { notify } from './notify.js'
import { onReloadOrder, untilTold } from './signals.js'

/**
 * Serves with several worker processes until told to stop; resolves to the exit code. This process answers no request: it
 * holds the sockets, does once what is to be done once, and puts another worker in the place of one that dies. Throws what
 * keeps it from starting.
 */
export async function serveByWorkers(config: Config, sources: ConfigSources): Promise<number> {
  const log = await createLogger(config.log, { shared: true })
  for (const warning of config.warnings) log.warn(warning)
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const told = untilTold()
  const beginning = await begin(config, log, readEnvironment().POSTERN_ADMIN_PASSWORD)
  const { admin, setup } = beginning
  let ground: Ground = beginning.ground
  let served: Setup = { config, ...(setup.pair && { pair: setup.pair }) }
  const sweep = (): void => {
    ground
      .sweep()
      .catch((error: unknown) => log.error({ err: error }, 'what a worker left behind could not be removed'))
  }
  const crew = new Crew({ size: config.workers, setup: served, log, onDeath: sweep })
  let listening: readonly Listening[]
  try {
    await makeRoom(config.listen)
    listening = await crew.start()
  } catch (error) {
    await crew.stop()
    await ground.close()
    throw error
  }
  announce({ admin, setup }, listening, log)

  const apply = async (next: Setup): Promise<void> => {
    const before = served.config.listen.map(({ name }) => name)
    await makeRoom(next.config.listen.filter(({ name }) => !before.includes(name)))
    const kept = sameGround(served.config, next.config)
    const nextGround = kept ? ground : await openGround(next.config, { log, sweeps: false, keepsUp: true })
    try {
      printListening(await crew.apply(next))
    } catch (error) {
      if (!kept) await nextGround.close()
      throw error
    }
    const old = ground
    ground = nextGround
    served = next
    log.level = next.config.log.level
    if (!kept) await old.close()
  }
  const reload = new Reload({
    sources,
    setup: served,
    log,
    apply: async (next) => {
      await notify('RELOADING=1', log)
      await apply(next).finally(() => notify('READY=1', log))
    },
  })
  onReloadOrder(() => reload.order())
  await notify('READY=1', log)
  const signal = await told
  log.info({ signal }, 'stopping; running requests may finish')
  await Promise.all([notify('STOPPING=1', log), reload.close()])
  await crew.stop()
  await ground.close()
  return 0
}

/** Removes sockets that dead processes have left behind. Throws `exists` where somebody listens. */
async function makeRoom(listen: readonly ListenSetting[]): Promise<void> {
  for (const { at } of listen) if (at.kind === 'unix') await freeSocketPath(at.path)
}

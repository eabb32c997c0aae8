import { readEnvironment } from '../../config/environment.js'
import type { Config, ConfigSources } from '../../config/load.js'
import { createLogger } from '../../config/logger.js'
import { Reload } from '../../config/reload.js'
import { openServer } from '../../config/start.js'
import type { Listening } from '../../transport/node-http.js'
import { announce, printListening } from './announce.js'
import { listenFailure } from './listen-failure.js'
import { notify } from './notify.js'
import { onReloadOrder, untilTold } from './signals.js'

/** Serves in this process until told to stop; resolves to the exit code. Throws what keeps it from starting. */
export async function serveAlone(config: Config, sources: ConfigSources): Promise<number> {
  const log = await createLogger(config.log)
  for (const warning of config.warnings) log.warn(warning)
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const told = untilTold()
  const server = await openServer(config, log, readEnvironment().POSTERN_ADMIN_PASSWORD)
  let listening: readonly Listening[]
  try {
    listening = await server.listen()
  } catch (error) {
    await server.stop()
    throw listenFailure(error, config)
  }
  server.ready()
  announce(server, listening, log)
  const reload = new Reload({
    sources,
    setup: server.setup,
    log,
    apply: async (setup) => {
      await notify('RELOADING=1', log)
      try {
        printListening(await server.apply(setup))
      } catch (error) {
        throw listenFailure(error, setup.config)
      } finally {
        await notify('READY=1', log)
      }
    },
  })
  onReloadOrder(() => reload.order())
  await notify('READY=1', log)
  const signal = await told
  log.info({ signal }, 'stopping; running requests may finish')
  await Promise.all([notify('STOPPING=1', log), reload.close()])
  await server.stop()
  return 0
}

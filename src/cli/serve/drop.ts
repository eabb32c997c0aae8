import { openDropOnly } from '../../config/drop-only.js'
import type { Config } from '../../config/load.js'
import { createLogger, requestLinesOf } from '../../config/logger.js'
import { AccessLog } from '../../gateway/access-log.js'
import { createCredentials } from '../../store/aws/credentials.js'
import { Failure } from '../../core/failure.js'
import { proxyTrust } from '../../transport/forwarded.js'
import type { Listening } from '../../transport/node-http.js'
import { createNodeTransport } from '../../transport/node-http.js'
import { printListening } from './announce.js'
import { listenFailure } from './listen-failure.js'
import { notify } from './notify.js'
import { untilTold } from './signals.js'

/**
 * Serves the one drop of an environment of s3-dropbox until told to stop; resolves to the exit code. Throws what
 * `openDropOnly` throws, and what keeps it from listening.
 */
export async function serveDrop(
  config: Config,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const log = await createLogger(config.log)
  const trust = proxyTrust(config.trustedProxies, config.proxyHeaders)
  if (trust === undefined) throw new Failure('invalid', 'trustedProxies: must be addresses and networks')
  const drop = openDropOnly(environment, {
    warn: (message, error) => log.warn({ err: error }, message),
    credentials: (region) => createCredentials({ settings: {}, region }),
  })
  const accessLog = new AccessLog(log, requestLinesOf(log))
  const told = untilTold()
  const transport = createNodeTransport({
    listeners: config.listen.map(({ name, at, mode }) => ({ name, at, mode })),
    handle: (request) => drop.handle(request),
    limits: config.limits,
    trust,
    handed: config.handed,
    ...(config.log.requests && { onExchange: (exchange) => accessLog.write(exchange, undefined) }),
  })
  let listening: readonly Listening[]
  try {
    listening = await transport.start()
  } catch (error) {
    throw listenFailure(error, config)
  }
  printListening(listening)
  log.info({ bucket: environment['BUCKET'] }, 'one drop at every path, as BUCKET and AUTH_TOKEN say')
  await notify('READY=1', log)
  await told
  await notify('STOPPING=1', log)
  await transport.stop(config.limits.stopSeconds)
  drop.close()
  return 0
}

import { resolve } from 'node:path'
import { authEnvironment, bucketEnvironment } from '../../config/auth-environment.js'
import { pamHelperCommand } from '../../config/pam-helper.js'
import { readEnvironment } from '../../config/environment.js'
import type { Config, ConfigSources } from '../../config/load.js'
import { createLogger } from '../../config/logger.js'
import { Reload } from '../../config/reload.js'
import { authConfigOf, frontSetupOf, prepareFolders, programParts, workerMounts } from '../../config/separation.js'
import type { SeparatedConfig } from '../../config/separation.js'
import type { Setup } from '../../config/setup.js'
import { examine, pairOf } from '../../config/setup.js'
import { commandUser } from '../../config/audit-file.js'
import { Failure } from '../../core/failure.js'
import { openBroker } from '../../privsep/broker/broker.js'
import type { Broker } from '../../privsep/broker/options.js'
import { checkOrders } from '../../privsep/broker/program-folder.js'
import { announce } from './announce.js'
import { LowPorts } from './low-ports.js'
import type { LowSockets } from './low-ports.js'
import { notify } from './notify.js'
import { onReloadOrder, untilTold } from './signals.js'

/**
 * Serves by processes that are kept apart, until told to stop; resolves to the exit code. This process, which is root's, is
 * their broker. Throws what keeps it from starting.
 */
export async function serveSeparated(config: Config, sources: ConfigSources): Promise<number> {
  const separated = requireSeparated(config)
  const log = await createLogger(config.log, { shared: true })
  for (const warning of config.warnings) log.warn(warning)
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const told = untilTold()
  const environment = readEnvironment()
  const startedBy = commandUser()
  // A process that is started again begins with what is served then.
  let served: Setup & { readonly config: SeparatedConfig } = setupOf(separated)
  const { workerCommand, serverCommand, program } = programParts()
  const lowPorts = await LowPorts.of(separated)
  const noSockets: LowSockets = { sockets: [], close: () => undefined }
  // What the process on the network has been started with.
  let low = noSockets
  const broker = await openBroker({
    settings: separated.privsep,
    mounts: workerMounts(config),
    workerCommand,
    pamHelperCommand: pamHelperCommand(),
    front: () => {
      low = lowPorts?.open(served.config) ?? noSockets
      return {
        command: serverCommand('front'),
        environment: bucketEnvironment(served.config, environment),
        input: JSON.stringify({ setup: frontSetupOf(served, low.sockets) }),
        descriptors: [...config.handed, ...low.sockets].map(({ fd }) => fd),
        onStarted: () => low.close(),
      }
    },
    auth: () => ({
      command: serverCommand('auth-process'),
      environment: authEnvironment(served.config, environment),
      input: JSON.stringify({
        config: authConfigOf(served.config),
        runtime: separated.privsep.runtime,
        ticketSeconds: separated.privsep.ticketSeconds,
        adminPassword: environment.POSTERN_ADMIN_PASSWORD,
        startedBy,
      }),
    }),
    prepare: (users) => prepareFolders(separated, users),
    program,
    environment: kept(environment),
    log,
    audit: (line) => log.info({ audit: line }, `privileged: ${line.what}`),
  })
  announceBroker(broker, separated, log)
  const reload = new Reload({
    sources,
    setup: served,
    log,
    // One that is made here is the front's: root writes nothing where others do.
    prepare: async (config) => {
      examine(config)
      return setupOf(requireSeparated(config))
    },
    apply: async (next) => {
      await notify('RELOADING=1', log)
      try {
        const setup = { ...next, config: requireSeparated(next.config) }
        await broker.apply({
          auth: { config: authConfigOf(setup.config) },
          front: { setup: frontSetupOf(setup, low.sockets) },
        })
        served = setup
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
  await broker.stop()
  return 0
}

/** What every process may know of the environment. */
function kept(environment: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && /^(?:TZ|LANG|LC_[A-Z]+)$/.test(entry[0]),
    ),
  )
}

function requireSeparated(config: Config): SeparatedConfig {
  const { privsep } = config
  if (privsep === undefined) throw new Failure('invalid', 'privsep: cannot be turned off while the server runs.')
  if (config.file !== undefined) checkOrders(resolve(config.file))
  return { ...config, privsep }
}

function setupOf(config: SeparatedConfig): Setup & { readonly config: SeparatedConfig } {
  const pair = pairOf(config)
  return { config, ...(pair && { pair }) }
}

function announceBroker(broker: Broker, config: SeparatedConfig, log: Parameters<typeof announce>[2]): void {
  const listening = broker.addresses.map((url) => ({ name: url, url }))
  const { admin: made } = broker
  const admin = made && {
    name: made.name,
    grants: made.grants,
    ...(made.password !== undefined && { password: made.password }),
  }
  announce({ admin, setup: { config, certificate: broker.certificate } }, listening, log)
}

import { join } from 'node:path'
import type { Logger } from 'pino'
import { createServer } from '../../config/build.js'
import { openGround } from '../../config/ground.js'
import { createLogger } from '../../config/logger.js'
import { prepareSetup } from '../../config/setup.js'
import type { PreparedSetup, Setup } from '../../config/setup.js'
import { Failure } from '../../core/failure.js'
import { openLink } from '../../privsep/wire/link.js'
import type { Link } from '../../privsep/wire/link.js'
import { connectTo } from '../../privsep/wire/one-time.js'
import { loadNative } from '../../store/native.js'
import type { Listening } from '../../transport/node-http.js'
import { readBriefing } from './briefing.js'
import { Crew } from './crew.js'
import { listenFailure } from './listen-failure.js'

/** What the process on the network is told when it begins, and at each change. */
export interface FrontBriefing {
  /** Without a certificate that is to be made here. */
  readonly setup: Setup
}

/** What serves, in this process or in several. */
interface Serving {
  readonly listening: readonly Listening[]
  apply(setup: Setup): Promise<unknown>
  stop(): Promise<void>
}

const mostSettingsBytes = 16 * 1024 * 1024

/**
 * Serves the network for a broker, which says how on standard input; resolves to the exit code when it says stop, or is gone.
 * What keeps it from starting is told to the broker.
 */
export async function serveAsFront(): Promise<number> {
  // A terminal and a service manager signal the whole group; the broker alone decides.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  process.umask(0o077)
  loadNative()?.seclude()
  const { setup } = await readBriefing<FrontBriefing>()
  const { front } = setup.config
  if (front === undefined) throw new Failure('invalid', 'This process is started by "postern serve --privsep".')
  const several = setup.config.workers > 1
  const log = await createLogger(setup.config.log, { shared: true })
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const orders = new Orders()
  const broker = openLink(await connectTo(join(front.runtime, 'front', 'broker')), {
    table: orders.table,
    maxAnswerBytes: 64 * 1024,
    maxAtOnce: 16,
    onFault: (err, order) => log.error({ err, order }, 'an order could not be carried out'),
  })
  void broker.closed.then(() => orders.stop())
  let serving: Serving | undefined
  try {
    const { certificate, ...prepared } = await withPair(setup)
    serving = several ? await serveBySeveral(prepared, log) : await serveByThis(prepared, log)
    orders.follow(async (next) => {
      const { config, pair } = await withPair(next)
      await serving?.apply({ config, ...(pair && { pair }) })
    })
    await broker.ask('listening', {
      addresses: serving.listening.map(({ url }) => url),
      ...(certificate && { certificate: { file: certificate.file, fingerprint: certificate.fingerprint } }),
    })
    await orders.stopped
    return 0
  } catch (error) {
    await tell(broker, error)
    return 1
  } finally {
    await serving?.stop()
    broker.close()
  }
}

/** With the certificate, which is made here where none was given. */
async function withPair(setup: Setup): Promise<PreparedSetup> {
  return setup.pair === undefined ? await prepareSetup(setup.config) : { ...setup, certificate: undefined }
}

async function serveByThis(setup: Setup, log: Logger): Promise<Serving> {
  const ground = await openGround(setup.config, { log, sweeps: true, keepsUp: true })
  const server = createServer({ setup, log, ground, shared: false })
  try {
    const listening = await server.listen()
    server.ready()
    return { listening, apply: (next) => server.apply(next), stop: () => server.stop() }
  } catch (error) {
    await server.stop()
    throw listenFailure(error, setup.config)
  }
}

/** This process keeps up what all share, and starts the others, which are of the same user. */
async function serveBySeveral(setup: Setup, log: Logger): Promise<Serving> {
  const ground = await openGround(setup.config, { log, sweeps: true, keepsUp: true })
  const crew = new Crew({
    size: setup.config.workers,
    setup,
    log,
    onDeath: () => {
      ground.sweep().catch((err: unknown) => log.error({ err }, 'what a worker left behind could not be removed'))
    },
  })
  const stop = async (): Promise<void> => {
    await crew.stop()
    await ground.close()
  }
  try {
    return { listening: await crew.start(), apply: (next) => crew.apply(next), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function tell(broker: Link, error: unknown): Promise<void> {
  const problem = error instanceof Failure ? error.message : error instanceof Error ? error.message : String(error)
  await broker.ask('failed', { problem }).catch(() => undefined)
}

/** What a broker orders, one after the other. */
class Orders {
  readonly stopped: Promise<void>
  readonly stop: () => void
  #apply: ((setup: Setup) => Promise<unknown>) | undefined
  #applying: Promise<unknown> = Promise.resolve()

  constructor() {
    let stop: () => void = () => undefined
    this.stopped = new Promise((resolve) => (stop = resolve))
    this.stop = stop
  }

  // The broker is to be believed.
  get table(): Parameters<typeof openLink>[1]['table'] {
    return {
      apply: {
        maxBytes: mostSettingsBytes,
        handle: async ({ head }) => {
          const apply = this.#apply
          if (apply === undefined) throw new Failure('unavailable', 'The server starts.', { retryAfterSeconds: 1 })
          const { setup } = head as unknown as FrontBriefing
          const applied = this.#applying.then(() => apply(setup))
          this.#applying = applied.catch(() => undefined)
          await applied
          return {}
        },
      },
      stop: {
        maxBytes: 256,
        handle: () => {
          this.stop()
          return {}
        },
      },
      // What these say is for the parts of this process that have links of their own.
      closed: { maxBytes: 4096, handle: () => ({}) },
      shed: { maxBytes: 256, handle: () => ({}) },
    }
  }

  follow(apply: (setup: Setup) => Promise<unknown>): void {
    this.#apply = apply
  }
}

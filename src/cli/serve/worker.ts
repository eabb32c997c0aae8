import { on } from 'node:events'
import type { Logger } from 'pino'
import { createServer } from '../../config/build.js'
import type { Server } from '../../config/build.js'
import { openGround } from '../../config/ground.js'
import { createLogger } from '../../config/logger.js'
import type { Setup } from '../../config/setup.js'
import { Failure } from '../../core/failure.js'
import type { Listening } from '../../transport/node-http.js'
import { listenFailure } from './listen-failure.js'
import type { Order, Problem, Report } from './messages.js'

/** Serves as its primary says; resolves to the exit code. Where the primary goes away, the process ends. */
export async function serveAsWorker(): Promise<number> {
  if (process.send === undefined)
    throw new Failure('invalid', 'A worker is started by "postern serve --workers 2", not by hand.')
  // A terminal and a service manager signal the whole group; the primary alone decides.
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  const orders = on(process, 'message')
  await report({ kind: 'hello' })
  let server: Server | undefined
  for await (const [message] of orders) {
    const order = message as Order
    switch (order.kind) {
      case 'serve':
        try {
          const started = await start(order.setup, order.number)
          server = started.server
          await report({ kind: 'listening', listening: started.listening })
        } catch (error) {
          await report({ kind: 'failed', problem: problemOf(error) })
          return 1
        }
        break
      case 'ready':
        server?.ready()
        break
      case 'apply':
        await report(await apply(server, order))
        break
      case 'stop':
        await server?.stop()
        return 0
    }
  }
  return 0
}

async function start(setup: Setup, number: number): Promise<{ server: Server; listening: readonly Listening[] }> {
  const { config } = setup
  const log: Logger = await createLogger(config.log, { shared: true, worker: number })
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const server = createServer({
    setup,
    log,
    ground: await openGround(config, { log, sweeps: false, keepsUp: false }),
    shared: true,
  })
  try {
    return { server, listening: await server.listen() }
  } catch (error) {
    await server.stop()
    throw listenFailure(error, config)
  }
}

async function apply(
  server: Server | undefined,
  { change, setup }: Extract<Order, { kind: 'apply' }>,
): Promise<Report> {
  try {
    return { kind: 'applied', change, listening: (await server?.apply(setup)) ?? [] }
  } catch (error) {
    return { kind: 'kept', change, problem: problemOf(listenFailure(error, setup.config)) }
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof Failure) return { message: error.message, failure: error.kind }
  return { message: error instanceof Error ? (error.stack ?? error.message) : String(error) }
}

/** Resolves when it is on its way; where the primary is gone, so is this process. */
function report(message: Report): Promise<void> {
  return new Promise((resolve) => {
    process.send?.(message, undefined, undefined, () => resolve())
  })
}

import type { Logger } from 'pino'
import { begin } from './begin.js'
import type { Beginning } from './begin.js'
import { createServer } from './build.js'
import type { Server } from './build.js'
import type { Config } from './load.js'

/** A server in this process, with what it has begun with. */
export interface OpenedServer extends Server, Pick<Beginning, 'setup' | 'admin'> {}

/** Puts a server in this process together out of its configuration, ready to listen. Throws what `begin` throws. */
export async function openServer(
  config: Config,
  log: Logger,
  adminPassword: string | undefined,
): Promise<OpenedServer> {
  const { ground, setup, admin } = await begin(config, log, adminPassword)
  const server = createServer({ setup, log, ground, shared: false })
  return {
    setup,
    admin,
    listen: () => server.listen(),
    ready: () => server.ready(),
    apply: (next) => server.apply(next),
    stop: () => server.stop(),
  }
}

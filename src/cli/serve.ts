import type { Command } from 'commander'
import { openServer } from '../config/build.js'
import { readEnvironment } from '../config/environment.js'
import type { Config } from '../config/load.js'
import { createLogger } from '../config/logger.js'
import { Failure } from '../core/failure.js'
import { endpointUrl, isLoopback } from '../transport/endpoint.js'
import type { Listening } from '../transport/node-http.js'
import { banner } from './banner.js'
import { collect, settle, withConfigOptions } from './settings.js'
import type { ServeOptions } from './settings.js'
import { print } from './terminal.js'

const help = `
Examples:
  postern serve                                serve ./data on http://127.0.0.1:8080
  postern serve /srv/files --listen 0.0.0.0:8443 --tls self-signed
  postern serve --config /etc/postern.yaml

The first start makes the user "admin" and prints a password for it once, unless POSTERN_ADMIN_PASSWORD holds one.`

/** `postern serve`. */
export function addServe(program: Command, finish: (code: number) => void): void {
  withConfigOptions(program.command('serve'))
    .description('serve a directory over WebDAV and HTTP')
    .argument('[dir]', 'the directory to serve (default: ./data, made if missing)')
    .option('--listen <address>', 'HOST:PORT or unix:PATH; may be given again (default: 127.0.0.1:8080)', collect)
    .option('--durability <how>', 'full: survives a power cut (default); fast: leaves that to the kernel')
    .option('--tls <how>', 'self-signed: HTTPS with a certificate made here')
    .addHelpText('after', help)
    .action(async (directory: string | undefined, options: ServeOptions) =>
      finish(await serve(settle(options, directory))),
    )
}

async function serve(config: Config): Promise<number> {
  const log = createLogger(config.log)
  for (const warning of config.warnings) log.warn(warning)
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'a promise was rejected and nobody looked'))
  const toldToStop = untilSignal()
  const server = await openServer(config, log, readEnvironment().POSTERN_ADMIN_PASSWORD)
  let listening: readonly Listening[]
  try {
    listening = await server.listen()
  } catch (error) {
    await server.stop()
    throw listenFailure(error, config)
  }
  for (const { url } of listening) print(`listening ${url}`)
  print(banner({ config, listening, admin: server.admin, certificate: server.certificate }))
  warnOfOpenPasswords(config, (text) => log.warn(text))
  const signal = await toldToStop
  log.info({ signal }, 'stopping; running requests may finish')
  await server.stop()
  return 0
}

/** Resolves at the first SIGTERM or SIGINT; the second one ends the process at once. */
function untilSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let told = false
    const take = (signal: NodeJS.Signals): void => {
      if (told) process.exit(1)
      told = true
      resolve(signal)
    }
    process.on('SIGTERM', take)
    process.on('SIGINT', take)
  })
}

function warnOfOpenPasswords(config: Config, warn: (text: string) => void): void {
  const open = config.listen.find(({ at, tls }) => !tls && !isLoopback(at))
  if (open !== undefined && config.trustedProxies.length === 0)
    warn(
      `Passwords cross the network readable on ${endpointUrl(open.at, false)}. Use --tls self-signed, or a proxy with TLS before a loopback address.`,
    )
}

/** What stops a listener from opening, with what to do about it. */
function listenFailure(error: unknown, config: Config): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const place =
    'port' in error && 'address' in error
      ? `${String(error.address)}:${String(error.port)}`
      : config.listen.map(({ name }) => name).join(', ')
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `${place} is in use by another program. Stop that one, or name another address: --listen 127.0.0.1:0 picks a free port.`,
    EACCES: `${place} is not allowed for this user. Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); sockets need a writable directory.`,
    EADDRNOTAVAIL: `${place} is not an address of this machine. 0.0.0.0 listens on all of them.`,
    ENOTFOUND: `The host in --listen is not known. Give an address, such as 127.0.0.1:8080.`,
    ENOENT: `The directory of the socket ${place} is missing.`,
  }
  const reason = reasons[String(error.code)]
  return reason === undefined ? error : new Failure('unavailable', reason, { cause: error })
}

import type { Logger } from 'pino'
import type { Beginning } from '../../config/begin.js'
import type { Config } from '../../config/load.js'
import { endpointUrl, isLoopback } from '../../transport/endpoint.js'
import type { Listening } from '../../transport/node-http.js'
import { banner } from '../banner.js'
import type { BannerFacts } from '../banner.js'
import { print } from '../terminal.js'

/** Says on standard output where the server is, who may enter and how to mount it, and warns of what is unsafe. */
export function announce(
  { admin, setup }: Pick<Beginning, 'admin'> & { readonly setup: Pick<BannerFacts, 'config' | 'certificate'> },
  listening: readonly Listening[],
  log: Logger,
): void {
  const { config, certificate } = setup
  printListening(listening)
  print(banner({ config, listening, admin, certificate }))
  warnOfOpenPasswords(config, log)
}

/** A line for each listener. */
export function printListening(listening: readonly Listening[]): void {
  for (const { url } of listening) print(`listening ${url}`)
}

function warnOfOpenPasswords(config: Config, log: Logger): void {
  const open = config.listen.find(({ at, tls }) => !tls && !isLoopback(at))
  if (open !== undefined && config.trustedProxies.length === 0)
    log.warn(
      `Passwords cross the network readable on ${endpointUrl(open.at, false)}. Use --tls self-signed, or a proxy with TLS before a loopback address.`,
    )
}

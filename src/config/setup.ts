import { hostname } from 'node:os'
import { systemClock } from '../core/clock.js'
import { addressesOf } from '../transport/endpoint.js'
import type { KeyPair } from '../transport/key-pair.js'
import { readPair } from '../transport/key-pair.js'
import { openCertificate } from '../transport/self-signed.js'
import type { Certificate } from '../transport/self-signed.js'
import { checkRoot } from './stores.js'
import type { Config } from './load.js'

/** All that a process needs to serve a configuration: plain data, which a primary process can send to its workers. */
export interface Setup {
  readonly config: Config
  /** For the listeners that speak TLS. */
  readonly pair?: KeyPair
}

/** A setup, and what a person is to be told about it. */
export interface PreparedSetup extends Setup {
  /** The certificate that Postern made itself, where it did. */
  readonly certificate: Certificate | undefined
}

/**
 * Reads the certificate that the configuration names, or makes and keeps one in the state directory, which must be there.
 * Throws what `examine` throws.
 */
export async function prepareSetup(config: Config): Promise<PreparedSetup> {
  const { tls } = config
  examine(config)
  const hosts = config.listen.flatMap(({ at }) => (at.kind === 'tcp' && at.host !== '' ? [at.host] : []))
  const certificate =
    tls === 'self-signed'
      ? await openCertificate({ directory: config.state, hosts: [...hosts.flatMap(addressesOf), hostname()] })
      : undefined
  const pair = certificate ?? pairOf(config)
  return { config, certificate, ...(pair && { pair: { cert: pair.cert, key: pair.key } }) }
}

/** The certificate that the configuration names. Throws `invalid`. */
export function pairOf({ tls }: Pick<Config, 'tls'>): KeyPair | undefined {
  return typeof tls === 'object' ? readPair(tls, systemClock.now()) : undefined
}

/** What can be found wrong with a configuration without starting: throws `not-directory` for the root, `invalid` for the certificate. */
export function examine(config: Config): void {
  for (const mount of config.mounts) if (mount.kind === 'local') checkRoot(mount.directory)
  pairOf(config)
}

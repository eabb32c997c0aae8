import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import type { Clock } from '../core/clock.js'
import { systemClock } from '../core/clock.js'

/** A certificate with its key, as PEM texts. */
export interface Certificate {
  readonly cert: string
  readonly key: string
  /** SHA-256, colon-separated upper-case hex, as browsers show it. */
  readonly fingerprint: string
  /** Where the certificate lies, for those who want to trust it. */
  readonly file: string
}

export interface SelfSignedOptions {
  /** Holds `tls-cert.pem` and `tls-key.pem` (0600). */
  readonly directory: string
  /** Names and addresses beside `localhost`, `127.0.0.1` and `::1`. */
  readonly hosts: readonly string[]
  readonly clock?: Clock
}

const day = 24 * 3600 * 1000
/** Apple's systems take no longer ones. */
const lifetime = 397 * day
const renewal = 30 * day

/** The kept certificate, or a new one where there is none, where it is about to expire or lacks one of the hosts. */
export async function openCertificate(options: SelfSignedOptions): Promise<Certificate> {
  const now = (options.clock ?? systemClock).now()
  const hosts = [...new Set(['localhost', '127.0.0.1', '::1', ...options.hosts.filter(isNameable)])]
  const file = join(options.directory, 'tls-cert.pem')
  const keyFile = join(options.directory, 'tls-key.pem')
  const kept = readKept(file, keyFile)
  if (kept !== undefined && isGood(kept.cert, hosts, now)) return describe(kept, file)
  // Certificates are seldom made; the packages that make them are not loaded for anything else.
  const { generate } = await import('selfsigned')
  const made = await generate([{ name: 'commonName', value: 'Postern' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(now - day),
    notAfterDate: new Date(now - day + lifetime),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: hosts.map((host) => (isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host })),
      },
    ],
  })
  const pair = { cert: made.cert, key: made.private }
  // The key first: a crash in between leaves a pair that does not match, which is not good and is made anew.
  replace(keyFile, pair.key, 0o600)
  replace(file, pair.cert, 0o644)
  return describe(pair, file)
}

function isNameable(host: string): boolean {
  return isIP(host) !== 0 ? !/^(?:0\.0\.0\.0|::)$/.test(host) : /^[A-Za-z0-9.-]+$/.test(host)
}

type Pair = Pick<Certificate, 'cert' | 'key'>

/** The kept pair, unless it is missing, damaged, or no pair. */
function readKept(file: string, keyFile: string): Pair | undefined {
  try {
    const pair = { cert: readFileSync(file, 'utf8'), key: readFileSync(keyFile, 'utf8') }
    return new X509Certificate(pair.cert).checkPrivateKey(createPrivateKey(pair.key)) ? pair : undefined
  } catch {
    return undefined
  }
}

function isGood(cert: string, hosts: readonly string[], now: number): boolean {
  const certificate = new X509Certificate(cert)
  if (Date.parse(certificate.validFrom) > now || Date.parse(certificate.validTo) < now + renewal) return false
  return hosts.every(
    (host) => (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined,
  )
}

function replace(file: string, content: string, mode: number): void {
  const staged = `${file}.new`
  writeFileSync(staged, content, { mode, flush: true })
  renameSync(staged, file)
}

function describe(pair: Pair, file: string): Certificate {
  return { ...pair, fingerprint: new X509Certificate(pair.cert).fingerprint256, file }
}

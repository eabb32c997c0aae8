import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { Failure } from '../core/failure.js'

/** A certificate, with the chain that leads to its issuer, and its key, as PEM texts. */
export interface KeyPair {
  readonly cert: string
  readonly key: string
}

/**
 * Reads a certificate and its key from PEM files. Throws `invalid`, with a message that names the file, where one cannot be
 * read or is no PEM, where the two do not belong together, and where the certificate has expired or is not valid yet at
 * `now` (milliseconds). What was in use before can go on being used then.
 */
export function readPair(files: { readonly cert: string; readonly key: string }, now: number): KeyPair {
  const pair = { cert: readText(files.cert, 'cert'), key: readText(files.key, 'key') }
  const certificate = parsed(files.cert, 'cert', 'certificate', () => new X509Certificate(pair.cert))
  const key = parsed(files.key, 'key', 'private key without a passphrase', (): KeyObject => createPrivateKey(pair.key))
  if (!certificate.checkPrivateKey(key))
    throw new Failure('invalid', `tls: ${files.key} is not the key of ${files.cert}.`)
  if (Date.parse(certificate.validTo) <= now)
    throw new Failure('invalid', `tls.cert: ${files.cert} has expired on ${certificate.validTo}.`)
  if (Date.parse(certificate.validFrom) > now)
    throw new Failure('invalid', `tls.cert: ${files.cert} is not valid before ${certificate.validFrom}.`)
  // What TLS itself does not take: a key that is too weak, a damaged chain after a good first certificate.
  parsed(files.cert, 'cert', 'usable chain of certificates', () => createSecureContext(pair))
  return pair
}

function readText(file: string, key: 'cert' | 'key'): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    const reason = { ENOENT: 'it is not there', EACCES: 'this user has no permission' }[code] ?? code
    throw new Failure('invalid', `tls.${key}: ${file} cannot be read: ${reason}`, { cause })
  }
}

function parsed<Value>(file: string, key: 'cert' | 'key', what: string, parse: () => Value): Value {
  try {
    return parse()
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw new Failure('invalid', `tls.${key}: ${file} is no ${what}: ${detail}`, { cause })
  }
}

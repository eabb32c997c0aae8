import { readFileSync } from 'node:fs'
import { openSecret } from '../catalog/secret.js'
import { Failure } from '../core/failure.js'
import { readEnvironment } from './environment.js'
import type { Config } from './load.js'

const secretBytes = 32
const advice = 'Make one with: openssl rand -base64 32'

/**
 * The secret of the installation, 32 bytes: where the configuration says, else the file in the state directory, made
 * where there is none. Throws `invalid` for one of another form, `unavailable` where it cannot be read or made.
 */
export async function installationSecret({ secret, state }: Pick<Config, 'secret' | 'state'>): Promise<Uint8Array> {
  if (secret === undefined) return openSecret(state)
  if ('env' in secret) {
    const value = readEnvironment()[secret.env]
    if (value === undefined || value === '')
      throw new Failure('invalid', `secret: the variable ${secret.env} is not set. ${advice}`)
    return decoded(Buffer.from(value), `the variable ${secret.env}`)
  }
  if ('file' in secret) return decoded(read(secret.file), `the file ${secret.file}`)
  const { decryptByKms } = await import('./kms.js')
  return decoded(await decryptByKms(secret.kms, readEnvironment()), 'what the KMS key decrypts')
}

/** As it is, as hexadecimal digits, or as base64. */
function decoded(bytes: Uint8Array, what: string): Uint8Array {
  if (bytes.byteLength === secretBytes) return new Uint8Array(bytes)
  const text = Buffer.from(bytes).toString('latin1').trim()
  if (/^[0-9a-f]{64}$/i.test(text)) return new Uint8Array(Buffer.from(text, 'hex'))
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return new Uint8Array(Buffer.from(text, 'base64'))
  throw new Failure(
    'invalid',
    `secret: ${what} does not hold 32 bytes, as 64 hexadecimal digits or as base64. ${advice}`,
  )
}

function read(file: string): Uint8Array {
  try {
    return readFileSync(file)
  } catch (cause) {
    throw new Failure('unavailable', `secret: the file ${file} cannot be read.`, { cause })
  }
}

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { Failure } from '../core/failure.js'

/** Keeps texts that must be had back where others may read: only who has the secret of the installation opens them. */
export interface Seal {
  /** The text under the seal, as base64. Opens only together with the same `bound`: what it belongs to. */
  close(text: string, bound: string): string
  /** Throws `unavailable` where it was sealed by another installation, for something else, or was changed. */
  open(sealed: string, bound: string): string
}

const algorithm = 'aes-256-gcm'
const nonceBytes = 12
const tagBytes = 16
/** Of the layout: version, nonce, tag, ciphertext. */
const version = 1

/** AES-256-GCM under a key that HKDF-SHA256 (RFC 5869) derives from the secret of the installation for this purpose alone. */
export function createSeal(secret: Uint8Array, purpose: string): Seal {
  const key = Buffer.from(hkdfSync('sha256', secret, '', `postern ${purpose}`, 32))
  return {
    close(text, bound) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv(algorithm, key, nonce).setAAD(Buffer.from(bound))
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(version), nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open(sealed, bound) {
      const bytes = Buffer.from(sealed, 'base64')
      const body = 1 + nonceBytes + tagBytes
      if (bytes[0] !== version || bytes.length < body) throw unopened()
      try {
        const decipher = createDecipheriv(algorithm, key, bytes.subarray(1, 1 + nonceBytes), {
          authTagLength: tagBytes,
        })
          .setAAD(Buffer.from(bound))
          .setAuthTag(bytes.subarray(1 + nonceBytes, body))
        return Buffer.concat([decipher.update(bytes.subarray(body)), decipher.final()]).toString('utf8')
      } catch (cause) {
        throw unopened(cause)
      }
    },
  }
}

function unopened(cause?: unknown): Failure {
  return new Failure(
    'unavailable',
    'A sealed secret of the catalog cannot be opened: it was made under another secret of the installation, or is damaged.',
    cause === undefined ? {} : { cause },
  )
}

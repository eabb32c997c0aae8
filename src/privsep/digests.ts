import { digestBytes, digestNames } from '../store/digester.js'
import type { DigestName, Digests } from '../store/store.js'

/** Digests as they cross between processes: base64 by name. */
export function encodeDigests(digests: Digests): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(digests).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
  )
}

/** Undefined for anything else than known names with as many bytes as each has. */
export function decodeDigests(value: unknown): Digests | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const digests: Partial<Record<DigestName, Uint8Array>> = {}
  for (const [name, text] of Object.entries(value) as readonly (readonly [string, unknown])[]) {
    if (!isDigestName(name) || typeof text !== 'string' || text.length > 128) return undefined
    const bytes = new Uint8Array(Buffer.from(text, 'base64'))
    if (bytes.length !== digestBytes[name]) return undefined
    digests[name] = bytes
  }
  return digests
}

/** Undefined for anything else than a list of known names. */
export function decodeDigestNames(value: unknown): readonly DigestName[] | undefined {
  if (!Array.isArray(value) || value.length > digestNames.length) return undefined
  return value.every(isDigestName) ? value : undefined
}

function isDigestName(name: unknown): name is DigestName {
  return (digestNames as readonly unknown[]).includes(name)
}

import type { z } from 'zod'
import { readTokenHash } from '../auth/token-hash.js'
import { Failure } from '../core/failure.js'
import { text } from './schema-parts.js'

/** The hash of a token, as it is written. Never the token itself: a configuration is copied to many places. */
export const tokenHash: z.ZodString = text.refine(
  (value) => readTokenHash(value) !== undefined,
  'must be the SHA-256 of the token, as base64 (44 characters) or lower-case hex (64); "postern token create --s3-dropbox" makes both',
)

/** What the schema has let pass as bytes. */
export function bytesOfHash(text: string): Uint8Array {
  const bytes = readTokenHash(text)
  if (bytes === undefined) throw new Failure('invalid', 'A token hash is not right.')
  return bytes
}

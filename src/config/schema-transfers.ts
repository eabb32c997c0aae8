import type { z } from 'zod'
import { bytes, objectOf } from './schema-parts.js'

/** Large files where the way through this server is narrow; docs/uploads.md. */
export const transfers = objectOf({
  redirectOver: bytes.optional(),
  mostPart: bytes.optional(),
}).prefault({})

export type TransferSettings = z.output<typeof transfers>

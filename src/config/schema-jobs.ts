import { z } from 'zod'
import type { StorePath } from '../core/path.js'
import { toPath } from '../core/path.js'
import { isFailure } from '../core/failure.js'
import { listOf, objectOf, oneOf, text } from './schema-parts.js'

/** The jobs there can be. */
export const jobNames = ['uploads', 'moves', 'stores', 'leftovers', 'users', 'deliver', 'audit-export'] as const

const folder = text.transform((value, context): StorePath => {
  try {
    const path = toPath(value)
    if (path !== '/') return path
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  context.addIssue({ code: 'custom', message: 'must be the path of a folder in the tree, such as /admin/audit' })
  return z.NEVER
})

/** What the server does now and again by itself. */
export const jobs = z
  .preprocess(
    (value) => (value === 'off' || value === false ? { disabled: [...jobNames] } : value),
    objectOf({
      disabled: listOf(oneOf(...jobNames)).default([]),
      auditExport: objectOf({ to: folder }).optional(),
    }),
  )
  .prefault({})

export type JobSettings = z.output<typeof jobs>

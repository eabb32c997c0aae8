import { z } from 'zod'
import { compileGrants } from '../auth/grant.js'
import { Failure, isFailure } from '../core/failure.js'
import { memberOf, toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
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

interface ExportSettings {
  readonly jobs: JobSettings
  readonly anonymous?: { readonly grants: readonly string[] } | undefined
}

/** Throws `invalid`, saying `where`, for an export that would show the audit log to somebody without a login, or to the process on the network. */
export function checkExport({ jobs, anonymous }: ExportSettings, isSeparated: boolean, where: string): void {
  const to = jobs.auditExport?.to
  if (to === undefined) return
  if (isSeparated)
    throw new Failure(
      'invalid',
      `${where} the process on the network must not read the audit log: no export with privsep`,
    )
  const file = memberOf(to, 'any.jsonl.gz')
  if (anonymous === undefined || file === undefined) return
  if (compileGrants(anonymous.grants, 'anonymous').allows('read', file))
    throw new Failure('invalid', `${where} everybody may read ${to} without a login: name another folder, or other grants of anonymous`) // prettier-ignore
}

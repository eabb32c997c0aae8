import { z } from 'zod'
import { text, whole } from '../schema-parts.js'
import { identityKinds } from './kinds.js'

/** What every kind of source can be told beside its own settings. */
export const commonSettings = {
  name: text
    .regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'must be up to 32 of a-z, 0-9 and -, such as staff')
    .optional()
    .meta({ description: 'What its identities are said to come from, in logs and lock owners. The kind without it.' }),
  cacheSeconds: whole(0, 86_400).optional().meta({
    description: 'How long a right credential is remembered at most; 120 without it, 0: not at all.',
  }),
}
const commonSchema = z.object(commonSettings)

/** One identity source as it was understood: plain data. */
export interface IdentitySetting {
  readonly kind: string
  /** What its identities are said to come from: the kind, unless it has a name of its own. */
  readonly name: string
  /** How long a success is remembered at most; 0: not at all. */
  readonly cacheSeconds: number
  /** For the kind's `open`. */
  readonly settings: unknown
}

const kindNames = [...identityKinds.keys()].join(', ')

const defaultCacheSeconds = 120

/** `catalog`, or a group of one key: `{ htpasswd: { file: … } }`. */
export const identityEntry = z.union(
  [
    z.literal('catalog'),
    z.record(z.string(), z.unknown()).superRefine((entry, context) => {
      const [kind, ...others] = Object.keys(entry)
      const known = kind === undefined ? undefined : identityKinds.get(kind)
      if (kind === undefined || known === undefined || others.length > 0) {
        context.addIssue({ code: 'custom', message: `must name one source, one of: ${kindNames}` })
        return
      }
      const { own, shared } = divided(entry[kind])
      for (const parsed of [commonSchema.safeParse(shared), known.schema.safeParse(own)])
        for (const issue of parsed.error?.issues ?? []) context.addIssue({ ...issue, path: [kind, ...issue.path] })
    }),
  ],
  { error: `must be catalog, or one source with its settings: ${kindNames}` },
)

/** The entries as plain data with absolute paths. */
export function identitySettings(
  entries: readonly z.output<typeof identityEntry>[],
  directory: string,
): readonly IdentitySetting[] {
  return entries.map((entry) => {
    const [[kind, given] = ['catalog', {}]] = typeof entry === 'string' ? [[entry, {}]] : Object.entries(entry)
    const { own, shared } = divided(given)
    const { name = kind, cacheSeconds = defaultCacheSeconds } = commonSchema.parse(shared)
    return { kind, name, cacheSeconds, settings: identityKinds.get(kind)?.located(own, directory) }
  })
}

function divided(settings: unknown): { readonly own: unknown; readonly shared: unknown } {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return { own: settings, shared: {} }
  const isShared = ([key]: readonly [string, unknown]): boolean => key in commonSettings
  const entries = Object.entries(settings)
  return {
    own: Object.fromEntries(entries.filter((entry) => !isShared(entry))),
    shared: Object.fromEntries(entries.filter(isShared)),
  }
}

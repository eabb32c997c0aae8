import { resolve } from 'node:path'
import { z } from 'zod'
import { homeOf } from '../../auth/home.js'
import type { HomeSetting } from '../../auth/home.js'
import { bytes, text, whole } from '../schema-parts.js'
import { actsAs } from '../schema-privsep.js'
import type { IdentityKind } from './kind.js'
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
  cacheFolder: text.optional().meta({
    description:
      'Where right credentials are remembered beyond a restart, sealed, in a file `postern-NAME.sqlite` on a local disk. In memory only without it.',
  }),
  home: text.refine(isHome, 'must be a path below the root such as /home/{user}').optional().meta({
    description:
      'What its callers see as the root, such as `/home/{user}`: the server puts it in front of every path that they name, and takes it away from every path that they are shown. Grants always name whole paths. A home that is missing is made on first use for a caller who may create it.',
  }),
  unixUser: actsAs.optional().meta({
    description:
      'The Unix user that its callers act as under privilege separation, where their account names none: `{user}` for the one of their own name, or one for all. The users of PAM are their own without it; all others act as nobody.',
  }),
  quota: bytes.optional().meta({
    description:
      'How much may lie below the home of each caller: bytes, or text such as 10G. Needs `home`. More is refused with 507.',
  }),
}
const commonSchema = z.object(commonSettings).superRefine(({ home, quota }, context) => {
  if (quota !== undefined && home === undefined)
    context.addIssue({
      code: 'custom',
      path: ['quota'],
      message: 'counts what is below home, so it needs a home such as /home/{user}',
    })
})

function isHome(home: string): boolean {
  try {
    homeOf(home, 'user')
    return true
  } catch {
    return false
  }
}

/** One identity source as it was understood: plain data. */
export interface IdentitySetting {
  readonly kind: string
  /** What its identities are said to come from: the kind, unless it has a name of its own. */
  readonly name: string
  /** How long a success is remembered at most; 0: not at all. */
  readonly cacheSeconds: number
  /** Where successes outlive the process; in memory only without it. */
  readonly cacheFolder?: string
  /** The Unix user that its callers act as; `{user}` for their own name. */
  readonly unixUser?: string
  /** Where its callers are at home; everywhere without it. */
  readonly home?: HomeSetting
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
      const { own, shared } = divided(known, entry[kind])
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
    const known = identityKinds.get(kind)
    const { own, shared } = divided(known, given)
    const {
      name = kind,
      cacheSeconds = defaultCacheSeconds,
      cacheFolder,
      home,
      quota,
      unixUser,
    } = commonSchema.parse(shared)
    return {
      kind,
      name,
      cacheSeconds,
      ...(cacheFolder !== undefined && { cacheFolder: resolve(directory, cacheFolder) }),
      ...(unixUser !== undefined && { unixUser }),
      ...(home !== undefined && { home: { home, ...(quota !== undefined && { quotaBytes: quota }) } }),
      settings: known?.located(own, directory),
    }
  })
}

function divided(kind: IdentityKind | undefined, given: unknown): { readonly own: unknown; readonly shared: unknown } {
  const settings = typeof given === 'string' ? (kind?.shorthand(given) ?? given) : given
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) return { own: settings, shared: {} }
  const isShared = ([key]: readonly [string, unknown]): boolean => key in commonSettings
  const entries = Object.entries(settings)
  return {
    own: Object.fromEntries(entries.filter((entry) => !isShared(entry))),
    shared: Object.fromEntries(entries.filter(isShared)),
  }
}

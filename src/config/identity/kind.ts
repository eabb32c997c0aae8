import type { z } from 'zod'
import type { CachedDirectory, CredentialKey } from '../../auth/cached.js'
import type { TableUsers } from '../../auth/directory/table-users.js'
import type { Directory } from '../../auth/identity.js'
import type { Links } from '../../auth/links.js'
import type { StartPam } from '../../auth/pam/spawned-pam.js'
import type { PasswordHasher } from '../../auth/password-hash.js'
import type { Accounts } from '../../catalog/accounts.js'
import type { Catalog } from '../../catalog/catalog.js'
import type { Clock } from '../../core/clock.js'
import type { Statement, Whereabouts } from '../policy-statements.js'

/** One kind of identity source as it stands in the configuration: `htpasswd: { file: … }`. */
export interface IdentityKind {
  /** For `docs/config.md`: what it is, and an entry of the list as YAML. */
  readonly description: string
  readonly example: string
  /** Its settings, each key with a `description` in its meta; what comes out of it must be plain data that the schema takes again. */
  readonly schema: z.ZodType
  /** The settings, the common ones among them, that one text stands for; undefined where it stands for none. */
  shorthand(text: string): Readonly<Record<string, unknown>> | undefined
  /** The same settings with absolute paths: those of the file are relative to its directory. */
  located(settings: unknown, directory: string): unknown
  /** Throws `invalid`, naming the key, for settings that only opening shows to be wrong. */
  open(name: string, settings: unknown, needs: IdentityNeeds): Promise<OpenSource>
  /** Its users, for the command line; absent where Postern does not manage them. */
  manage?(name: string, settings: unknown, needs: ManagingNeeds): Promise<TableUsers>
  /**
   * For `postern check`: what can be seen of the source from here, in a sentence. Throws `invalid` where that shows a
   * setting to be wrong.
   */
  probe?(settings: unknown): Promise<string>
  /**
   * For `postern check --as`: what callers of that name may do, and keys and tokens with that name or id. None where it is
   * not known. Absent where it takes a secret to know. Throws `unavailable` where the source cannot be asked.
   */
  lookUp?(settings: unknown, name: string): Promise<readonly LookedUp[]>
  /** For `postern policy`: what its role must be allowed at AWS, or that it is not asked there. */
  rights?(settings: unknown, where: (region: string | undefined) => Whereabouts): readonly Statement[] | 'elsewhere'
}

/** What is known of a caller without its secret: its grants, or why it is refused whatever it shows. */
export type LookedUp = {
  readonly what: 'user' | 'key' | 'S3 key' | 'token'
  /** Of a key or a token, where it has another than its name. */
  readonly id?: string
  readonly groups?: readonly string[]
  /** In place of what the source says of all: where it finds its root, `/` for nowhere else. */
  readonly home?: string
} & ({ readonly grants: readonly string[] } | { readonly refused: string })

/** What managing the users of a source may stand on. */
export type ManagingNeeds = Pick<IdentityNeeds, 'catalog' | 'hasher' | 'clock'>

/** What a source may stand on. */
export interface IdentityNeeds {
  readonly catalog: Catalog
  readonly accounts: Accounts
  readonly hasher: PasswordHasher
  /** Of this installation. */
  readonly secret: Uint8Array
  readonly clock: Clock
  /** That of all caches. */
  readonly keyOf: CredentialKey
  /** For a source that remembers for itself, because its answers depend on more than the credential. */
  readonly cacheSeconds: number
  /** Below which path clients know this server; usually empty. */
  readonly basePath: string
  /** How processes that ask PAM are started; by this process itself without it. */
  readonly startPam?: StartPam
  /** For what an owner should know of a source: a line of a file that is not understood, a source that flaps. Never with a secret. */
  readonly warn: (facts: object, message: string) => void
}

export interface OpenSource {
  /** One that remembers is given no other cache. */
  readonly directory: Directory | CachedDirectory
  /** Where Postern may manage them. */
  readonly users?: TableUsers
  /** What its callers sign for others. */
  readonly links?: Links
  /** Ends watching and connections. */
  close?(): Promise<void>
}

/** An identity kind with its types checked: `located` may be left out where no setting is a path. */
export function identityKind<Schema extends z.ZodType>(kind: {
  readonly description: string
  readonly example: string
  readonly schema: Schema
  readonly shorthand?: (text: string) => Readonly<Record<string, unknown>> | undefined
  readonly located?: (settings: z.output<Schema>, directory: string) => z.output<Schema>
  readonly open: (name: string, settings: z.output<Schema>, needs: IdentityNeeds) => Promise<OpenSource>
  readonly manage?: (name: string, settings: z.output<Schema>, needs: ManagingNeeds) => Promise<TableUsers>
  readonly probe?: (settings: z.output<Schema>) => Promise<string>
  readonly lookUp?: (settings: z.output<Schema>, name: string) => Promise<readonly LookedUp[]>
  readonly rights?: (
    settings: z.output<Schema>,
    where: (region: string | undefined) => Whereabouts,
  ) => readonly Statement[] | 'elsewhere'
}): IdentityKind {
  const { description, example, schema, shorthand, located, open, manage, probe, lookUp, rights } = kind
  return {
    description,
    example,
    schema,
    shorthand: (text) => shorthand?.(text),
    located: (settings, directory) => (located === undefined ? settings : located(schema.parse(settings), directory)),
    open: (name, settings, needs) => open(name, schema.parse(settings), needs),
    ...(probe && { probe: (settings) => probe(schema.parse(settings)) }),
    ...(lookUp && { lookUp: (settings, name) => lookUp(schema.parse(settings), name) }),
    ...(rights && { rights: (settings, where) => rights(schema.parse(settings), where) }),
    ...(manage && { manage: (name, settings, needs) => manage(name, schema.parse(settings), needs) }),
  }
}

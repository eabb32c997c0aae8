import type { Account, Accounts, StoredAccount } from '../../catalog/accounts.js'
import type { Credentials, Issued, StoredCredential } from '../../catalog/credentials.js'
import { isFailure } from '../../core/failure.js'
import { compileGrants, expandUser } from '../grant.js'
import type { Directory, Identity, SigningKey, Verdict } from '../identity.js'
import type { PasswordHasher } from '../password-hash.js'

export interface CatalogDirectoryOptions {
  readonly accounts: Accounts
  readonly credentials: Credentials
  readonly hasher: PasswordHasher
  /** `catalog` without it. */
  readonly name?: string
}

/**
 * The users, keys and tokens that Postern itself manages. One hash is checked for every attempt, whether there is such a
 * user or not, so that all failures cost alike. Any change of an account or a key ends what was cached of it.
 *
 * A key or a token stands for the principal that it is named after, with grants of its own: two of one name are one
 * principal, and so is a user of that name, who takes them along when disabled.
 */
export function catalogDirectory(options: CatalogDirectoryOptions): Directory {
  const { accounts, credentials, hasher, name: source = 'catalog' } = options

  /** By the grants of a record, which lives until it changes: every request of S3 asks for its signer anew. */
  const signers = new WeakMap<
    readonly string[],
    { readonly name: string; readonly version: string | undefined; readonly identity: Identity | undefined }
  >()

  /** Undefined where the grants cannot be understood. */
  function identityOf(name: string, granted: readonly string[], user: Account | undefined): Identity | undefined {
    try {
      const grants = expandUser(granted, name)
      compileGrants(grants, source)
      const { unixUser, home, quotaBytes } = user ?? {}
      return {
        name,
        source,
        grants,
        ...(unixUser !== undefined && { unixUser }),
        ...(home !== undefined && { home }),
        ...(quotaBytes !== undefined && { quotaBytes }),
      }
    } catch (error) {
      if (isFailure(error, 'invalid', 'denied')) return undefined
      throw error
    }
  }

  /** What refuses a credential whose secret is right; undefined: nothing. */
  function objectionTo(issued: Issued, user: StoredAccount | undefined): string | undefined {
    if (credentials.hasExpired(issued)) return 'expired'
    return user?.account.disabled === true ? 'disabled' : undefined
  }

  async function verdictOn(found: (StoredCredential & { readonly right: boolean }) | undefined): Promise<Verdict> {
    if (found === undefined) return { kind: 'unknown' }
    const { issued, stamp, right } = found
    if (!right) return { kind: 'refused', why: 'wrong-secret' }
    const user = await accounts.find(issued.name)
    const why = objectionTo(issued, user)
    if (why !== undefined) return { kind: 'refused', why }
    const identity = identityOf(issued.name, issued.grants, user?.account)
    if (identity === undefined) return { kind: 'refused', why: 'broken-grants' }
    const { expires } = issued
    return {
      kind: 'identity',
      identity,
      stamp: `${user?.version ?? ''}\n${stamp}`,
      ...(expires !== undefined && { until: expires }),
    }
  }

  async function verdictOnPassword(name: string, password: string): Promise<Verdict> {
    const found = await accounts.find(name)
    const right = await hasher.verify(found?.account.passwordHash, password)
    if (!found) return { kind: 'unknown' }
    const { account, version } = found
    if (account.disabled) return { kind: 'refused', why: 'disabled' }
    if (!right) return { kind: 'refused', why: account.passwordHash === undefined ? 'no-password' : 'wrong-password' }
    const identity = identityOf(account.name, account.grants, account)
    if (identity === undefined) return { kind: 'refused', why: 'broken-grants' }
    return { kind: 'identity', identity, stamp: version }
  }

  return {
    name: source,
    accepts: new Set(['password', 'api-key', 'bearer'] as const),
    async check(credential) {
      switch (credential.kind) {
        case 'password':
          return verdictOnPassword(credential.name, credential.password)
        case 'api-key':
          return verdictOn(await credentials.check('key', credential.id, credential.secret))
        case 'bearer':
          return verdictOn(await credentials.checkToken(credential.token))
      }
    },
    async current(identity, stamp) {
      const end = stamp.indexOf('\n')
      if (end === -1) return accounts.isCurrent(identity.name, stamp)
      const version = stamp.slice(0, end)
      if (!(await credentials.isCurrent(stamp.slice(end + 1)))) return false
      return version === ''
        ? (await accounts.find(identity.name)) === undefined
        : accounts.isCurrent(identity.name, version)
    },
    async signingKey(accessKeyId): Promise<SigningKey | undefined> {
      const found = await credentials.signingKey(accessKeyId)
      if (found === undefined) return undefined
      const user = await accounts.find(found.issued.name)
      if (objectionTo(found.issued, user) !== undefined) return undefined
      const { grants, name } = found.issued
      let known = signers.get(grants)
      if (known?.name !== name || known.version !== user?.version) {
        known = { name, version: user?.version, identity: identityOf(name, grants, user?.account) }
        signers.set(grants, known)
      }
      return known.identity && { secret: found.secret, identity: known.identity }
    },
  }
}

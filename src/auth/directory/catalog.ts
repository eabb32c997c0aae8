import type { Accounts } from '../../catalog/accounts.js'
import { isFailure } from '../../core/failure.js'
import { compileGrants, expandUser } from '../grant.js'
import type { Directory, Verdict } from '../identity.js'
import type { PasswordHasher } from '../password-hash.js'

const name = 'catalog'

/**
 * The users that Postern itself manages. One hash is checked for every attempt, whether there is such a user or not, so
 * that all failures cost alike. Any change of an account ends what was cached of it.
 */
export function catalogDirectory(options: { readonly accounts: Accounts; readonly hasher: PasswordHasher }): Directory {
  const { accounts, hasher } = options
  return {
    name,
    accepts: new Set(['password'] as const),
    async check(credential): Promise<Verdict> {
      if (credential.kind !== 'password') return { kind: 'unknown' }
      const found = await accounts.find(credential.name)
      const right = await hasher.verify(found?.account.passwordHash, credential.password)
      if (!found) return { kind: 'unknown' }
      const { account, version } = found
      if (account.disabled) return { kind: 'refused', why: 'disabled' }
      if (!right) return { kind: 'refused', why: account.passwordHash === undefined ? 'no-password' : 'wrong-password' }
      try {
        const grants = expandUser(account.grants, account.name)
        compileGrants(grants, name)
        const { unixUser } = account
        return {
          kind: 'identity',
          identity: { name: account.name, source: name, grants, ...(unixUser !== undefined && { unixUser }) },
          stamp: version,
        }
      } catch (error) {
        if (isFailure(error, 'invalid', 'denied')) return { kind: 'refused', why: 'broken-grants' }
        throw error
      }
    },
    current: (identity, stamp) => accounts.isCurrent(identity.name, stamp),
  }
}

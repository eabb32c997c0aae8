import { createHash } from 'node:crypto'
import { isFailure } from '../../core/failure.js'
import { sameSecret } from '../constant-time.js'
import type { Directory, Identity, Verdict } from '../identity.js'
import { scopeGrant } from '../scope/scope-map.js'
import type { KeysConf } from './keys-conf.js'
import type { LiveFile } from './live-file.js'

/** Costs what a key costs. */
const nobody = [{ secret: '', stamp: '' }]

/** A key of the file as a caller. */
export interface KeyAccount {
  readonly identity: Identity
  readonly secrets: readonly { readonly secret: string; readonly stamp: string }[]
}

/**
 * The keys of a PutFS `keys.conf`. A change of a key's secret or scopes ends what was remembered of it, and so does a file
 * that is gone.
 */
export function putfsKeysDirectory(options: { readonly name: string; readonly file: LiveFile<KeysConf> }): Directory {
  const { name, file } = options
  const accounts = accountsOf(name)
  return {
    name,
    accepts: new Set(['api-key'] as const),
    async check(credential): Promise<Verdict> {
      if (credential.kind !== 'api-key') return { kind: 'unknown' }
      const account = accounts(await file.facts(), credential.id)
      // Each is compared, so that neither their number nor their order shows.
      const right = (account?.secrets ?? nobody).filter(({ secret }) => sameSecret(secret, credential.secret))
      if (account === undefined) return { kind: 'unknown' }
      const [one] = right
      if (one === undefined) return { kind: 'refused', why: 'wrong-secret' }
      return { kind: 'identity', identity: account.identity, stamp: one.stamp }
    },
    async current({ name: id }, stamp) {
      try {
        const account = accounts(await file.facts(), id)
        return account?.secrets.some((one) => one.stamp === stamp) === true
      } catch (error) {
        if (isFailure(error, 'unavailable')) return false
        throw error
      }
    },
  }
}

/** Looks keys up; the same object comes back for as long as the file stays as it is. */
export function accountsOf(source: string): (facts: KeysConf, id: string) => KeyAccount | undefined {
  const known = new WeakMap<KeysConf, Map<string, KeyAccount>>()
  return (facts, id) => {
    const secrets = facts.secrets.get(id)
    if (secrets === undefined) return undefined
    const accounts = known.get(facts) ?? new Map<string, KeyAccount>()
    known.set(facts, accounts)
    let account = accounts.get(id)
    if (account === undefined) {
      const identity = { name: id, source, grants: [scopeGrant(facts.scopesOf(id))] }
      account = { identity, secrets: secrets.map((secret) => ({ secret, stamp: stampOf(identity, secret) })) }
      accounts.set(id, account)
    }
    return account
  }
}

function stampOf({ name, grants }: Identity, secret: string): string {
  return createHash('sha256')
    .update(JSON.stringify([name, grants, secret]))
    .digest('base64url')
}

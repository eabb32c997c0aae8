import { createHash } from 'node:crypto'
import { isFailure } from '../../core/failure.js'
import { expandUser } from '../grant.js'
import type { Directory, Verdict } from '../identity.js'
import { knownHash } from '../password-formats/formats.js'
import type { PasswordChecks } from '../password-formats/password-checks.js'
import type { HtpasswdFacts } from './htpasswd-file.js'
import type { LiveFile } from './live-file.js'

export interface HtpasswdOptions {
  readonly name: string
  readonly file: LiveFile<HtpasswdFacts>
  /** What each user of the file may do; `{user}` stands for the name. */
  readonly grants: readonly string[]
  readonly checks: PasswordChecks
}

/** The users of an htpasswd file. A change of a user's line ends what was remembered of that user; so does a file that is gone. */
export function htpasswdDirectory({ name: source, file, grants, checks }: HtpasswdOptions): Directory {
  return {
    name: source,
    accepts: new Set(['password'] as const),
    async check(credential): Promise<Verdict> {
      if (credential.kind !== 'password') return { kind: 'unknown' }
      const name = credential.name.normalize('NFC')
      const { users, known, dearest } = await file.facts()
      const stored = users.get(name)
      const standIn = stored !== undefined && knownHash(stored) !== undefined ? stored : oneFor(name, known)
      const right = await checks.verify(stored, credential.password, { standIn, dearest })
      if (stored === undefined) return { kind: 'unknown' }
      if (!right)
        return { kind: 'refused', why: knownHash(stored) === undefined ? 'hash-not-understood' : 'wrong-password' }
      try {
        const identity = { name, source, grants: expandUser(grants, name) }
        return { kind: 'identity', identity, stamp: stampOf(name, stored) }
      } catch (error) {
        if (isFailure(error, 'denied')) return { kind: 'refused', why: 'name-is-no-segment' }
        throw error
      }
    },
    async current({ name }, stamp) {
      try {
        const stored = (await file.facts()).users.get(name)
        return stored !== undefined && stampOf(name, stored) === stamp
      } catch (error) {
        if (isFailure(error, 'unavailable')) return false
        throw error
      }
    },
  }
}

/** An unknown name is as if it had one of the hashes, always the same one. */
function oneFor(name: string, hashes: readonly string[]): string | undefined {
  return hashes[createHash('sha256').update(name).digest().readUInt32LE() % hashes.length]
}

/** Says nothing of the hash. */
function stampOf(name: string, stored: string): string {
  return createHash('sha256')
    .update(JSON.stringify([name, stored]))
    .digest('base64url')
}

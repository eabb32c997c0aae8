import { statSync } from 'node:fs'
import { isIP } from 'node:net'
import { isFailure } from '../../core/failure.js'
import { expandUser } from '../grant.js'
import type { Directory, Verdict } from '../identity.js'
import type { PamLogins } from '../pam/pool.js'
import { maxPasswordBytes } from '../pam/question.js'

export interface PamDirectoryOptions {
  readonly name: string
  readonly logins: PamLogins
  readonly grants: readonly string[]
}

/**
 * The users of this system, by PAM. An identity is called what the system calls the user, acts as that Unix user, and has
 * its groups. A success that is remembered ends with a change of the account, its password or its groups in the files of
 * this host; what a service elsewhere keeps is asked about again when the time of the success is over.
 */
export function pamDirectory({ name, logins, grants }: PamDirectoryOptions): Directory {
  /** What the files were when a stamp was last known to be right, by stamp. */
  const sure = new Map<string, string>()

  function remember(stamp: string, files: string): void {
    if (sure.size >= mostSure) sure.clear()
    sure.set(stamp, files)
  }

  return {
    name,
    accepts: new Set(['password'] as const),
    // PAM may know rules about where somebody comes from.
    dependsOn: 'address',
    async check(credential, { address }): Promise<Verdict> {
      if (credential.kind !== 'password' || !isUnixName(credential.name)) return { kind: 'unknown' }
      const files = accountFiles()
      const password = isPossible(credential.password) ? credential.password : undefined
      const answer = await logins.login(credential.name, password, bareAddress(address))
      if (answer.kind !== 'accepted')
        return answer.kind === 'refused' ? { kind: 'refused', why: answer.why } : { kind: 'unknown' }
      const { name: user, groups, stamp } = answer
      try {
        const identity = { name: user, source: name, grants: expandUser(grants, user), unixUser: user, groups }
        remember(stamp, files)
        return { kind: 'identity', identity, stamp }
      } catch (error) {
        if (isFailure(error, 'denied')) return { kind: 'refused', why: 'broken-grants' }
        throw error
      }
    },
    async current(identity, stamp) {
      const files = accountFiles()
      if (sure.get(stamp) === files) return true
      if ((await logins.stampOf(identity.name)) !== stamp) {
        sure.delete(stamp)
        return false
      }
      remember(stamp, files)
      return true
    },
  }
}

const mostSure = 10_000
const longestName = 256

/**
 * Whether a Unix user can be called that: what is a separator in the account files, has no shape, or could be taken for an
 * option or a path does not come before PAM. Names are case-sensitive.
 */
export function isUnixName(name: string): boolean {
  if (name === '.' || name === '..' || Buffer.byteLength(name) > longestName) return false
  return /^[^\p{C}\p{Z}/:+~-](?:[^\p{C}\p{Zl}\p{Zp}/:]*[^\p{C}\p{Z}/:])?$/u.test(name)
}

/** PAM takes C strings; an empty one is a login without a password to many a directory service (RFC 4513, 5.1.2). */
function isPossible(password: string): boolean {
  if (password === '' || password.includes('\0') || !password.isWellFormed()) return false
  return Buffer.byteLength(password) <= maxPasswordBytes
}

/** As modules expect it: without the zone, and an IPv4 address as such. */
function bareAddress(address = ''): string | undefined {
  const bare = address.replace(/%.*$/, '').replace(/^::ffff:(?=\d+\.)/i, '')
  return isIP(bare) === 0 ? undefined : bare
}

const watched = ['/etc/passwd', '/etc/shadow', '/etc/group', '/etc/nsswitch.conf']

/** Another text when one of the account files has changed; programs that change them put new ones in their places. */
function accountFiles(): string {
  let text = ''
  for (const path of watched) {
    const found = statSync(path, { bigint: true, throwIfNoEntry: false })
    text += found === undefined ? '- ' : `${found.ino}:${found.ctimeNs} `
  }
  return text
}

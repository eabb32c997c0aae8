import { randomInt } from 'node:crypto'
import type { Accounts } from '../catalog/accounts.js'
import type { PasswordHasher } from '../auth/password-hash.js'
import { isFailure } from '../core/failure.js'
import { rootPath } from '../core/path.js'

/** What the first start made. */
export interface FirstAdmin {
  readonly name: string
  readonly grants: readonly string[]
  /** Where it was made up here and must be shown, once. */
  readonly password?: string
}

/** Makes the user `admin`, who may do everything, where there is no user at all; else undefined. Throws `invalid` for a given password that cannot be one. */
export async function ensureAdmin(
  accounts: Accounts,
  hasher: PasswordHasher,
  given: string | undefined,
): Promise<FirstAdmin | undefined> {
  if (!(await accounts.isEmpty())) return undefined
  const password = given ?? randomPassword()
  const admin = { name: 'admin', grants: ['rw:/**'] }
  try {
    // Wherever the others are at home: somebody must see it all.
    await accounts.add({ ...admin, home: rootPath, passwordHash: await hasher.hash(password) })
  } catch (error) {
    // Another process that starts at the same time was first.
    if (isFailure(error, 'exists')) return undefined
    throw error
  }
  return given === undefined ? { ...admin, password } : admin
}

/** 24 letters and digits that no one mistakes for each other, in groups: some 117 bits. The dots keep rclone from taking it for one that it has obscured. */
export function randomPassword(): string {
  const letters = 'abcdefghjkmnpqrstuvwxyz23456789'
  const group = (): string => Array.from({ length: 6 }, () => letters.charAt(randomInt(letters.length))).join('')
  return [group(), group(), group(), group()].join('.')
}

import { Failure } from '../../core/failure.js'
import type { KnownAccount } from '../../auth/pam/question.js'
import type { PrivsepSettings } from '../settings.js'
import type { Accounts } from './accounts.js'
import type { ServerUsers } from './options.js'
import { isOrdinaryId } from './spawn.js'
import type { ProcessUser } from './spawn.js'

const frontNames: readonly string[] = ['postern', 'nobody']
const authNames: readonly string[] = ['postern-auth']
/** Of no account: Debian, Fedora and systemd give it to nobody. */
const unnamedAuth: ProcessUser = { uid: 61183, gid: 61183, groups: [] }

/**
 * Whose the server's own processes are, with all their groups, so that they can be given what they must read. Throws
 * `invalid` where a configured name is not there, or is root or in its group, or both are the same.
 */
export async function findServerUsers(
  { user, authUser }: Pick<PrivsepSettings, 'user' | 'authUser'>,
  accounts: Accounts,
): Promise<ServerUsers> {
  const front = await find(accounts, user === undefined ? frontNames : [user])
  if (front === undefined)
    throw new Failure('invalid', `There is no user ${user ?? frontNames.join(' or ')}: make one, or set privsep.user.`)
  const auth = await find(accounts, authUser === undefined ? authNames : [authUser])
  if (auth === undefined && authUser !== undefined)
    throw new Failure('invalid', `There is no user ${authUser}: make one, or leave privsep.authUser out.`)
  const users = { front, auth: auth ?? unnamedAuth }
  if (users.front.uid === users.auth.uid || users.front.gid === users.auth.gid)
    throw new Failure('invalid', 'privsep.user and privsep.authUser must be different users, with different groups.')
  return users
}

async function find(accounts: Accounts, names: readonly string[]): Promise<ProcessUser | undefined> {
  for (const name of names) {
    const account = await accounts.lookUp(name)
    if (account !== undefined) return asProcessUser(account)
  }
  return undefined
}

function asProcessUser({ name, uid, gid, groupIds }: KnownAccount): ProcessUser {
  if (![uid, gid, ...groupIds].every(isOrdinaryId))
    throw new Failure('invalid', `The server's processes may not be the user ${name}, who is root or in its group.`)
  return { uid, gid, groups: groupIds }
}

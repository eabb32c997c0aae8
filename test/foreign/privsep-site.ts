import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { RequestOptions } from '../harness.js'
import { openFolder, startPrivsepServer } from '../privsep-server.js'
import type { PrivsepServer } from '../privsep-server.js'
import type { Answer } from '../raw-http.js'
import { groupIdOf, UnixUsers } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'
import type { Need } from './tools.js'

export const privsepNeeds: readonly Need[] = [
  'right: root',
  'program: useradd',
  'program: chpasswd',
  'program: setpriv',
]

/**
 * A server with privilege separation for two real users, alice and bob, who log in by PAM and see one tree:
 * `home/NAME` (0700), `team` (2770, both are in its group), `alices` (0770, only she is), `bobs` (0711, of bob, with a file
 * of mode 0600 and one of 0644), `all` (1777).
 */
export interface PrivsepSite {
  readonly server: PrivsepServer
  readonly users: UnixUsers
  readonly alice: UnixUser
  readonly bob: UnixUser
  /** The served directory. */
  readonly root: string
  /** A folder for the test's own things, which users can walk. */
  readonly folder: string
  readonly team: number
  readonly service: string
  /** One request as a user. */
  readonly ask: (user: UnixUser | null, method: string, target: string, options?: RequestOptions) => Promise<Answer>
  dispose(): Promise<void>
}

export const sitePassword = 'correct horse: battery staple'
export const unixStack = 'auth required pam_unix.so\naccount required pam_unix.so\n'

const actsAsNamed = { catalog: { unixUser: '{user}' } }

export interface SiteOptions {
  /** Beside `identity`, which is PAM with all rights to everything. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The first source: by default its callers act as the Unix user of their name. */
  readonly catalog?: unknown
  readonly args?: readonly string[]
  /** Gives the folder of another copy of the program. */
  readonly program?: (site: Prepared) => string
  /** Called before the server starts. */
  readonly prepare?: (site: Prepared) => void
  /** Called before all is removed, also when the server has not started. */
  readonly dismantle?: (site: Pick<Prepared, 'root' | 'folder'>) => void
}

type Prepared = Omit<PrivsepSite, 'server' | 'ask' | 'dispose'>

/** Whatever fails, nothing of it stays. */
export async function openPrivsepSite({
  config,
  catalog = actsAsNamed,
  args,
  program,
  prepare,
  dismantle,
}: SiteOptions = {}): Promise<PrivsepSite> {
  const users = new UnixUsers()
  const folder = openFolder()
  const root = join(folder, 'files')
  const remove = (): void => {
    dismantle?.({ root, folder })
    users.cleanUp()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    mkdirSync(join(root, 'home'), { recursive: true })
    const [teamName, ownName] = [users.addGroup('team'), users.addGroup('own')]
    const alice = users.addWithHome(join(root, 'home'), 'alice', sitePassword, '-G', `${teamName},${ownName}`)
    const bob = users.addWithHome(join(root, 'home'), 'bob', sitePassword, '-G', teamName)
    const team = groupIdOf(teamName)
    makeFolder(join(root, 'team'), 0, team, 0o2770)
    makeFolder(join(root, 'alices'), 0, groupIdOf(ownName), 0o770)
    makeFolder(join(root, 'bobs'), bob.uid, bob.gid, 0o711)
    makeFolder(join(root, 'all'), 0, 0, 0o1777)
    makeFile(join(root, 'bobs/private.txt'), bob, 0o600, 'private of bob')
    makeFile(join(root, 'bobs/open.txt'), bob, 0o644, 'open of bob')
    makeFile(join(bob.home, 'secret.txt'), bob, 0o644, 'secret of bob')
    makeFile(join(alice.home, 'own.txt'), alice, 0o600, 'of alice')
    const service = users.service('site', unixStack)
    const prepared = { users, alice, bob, root, folder, team, service }
    prepare?.(prepared)
    const server = await startPrivsepServer({
      root,
      config: { identity: [catalog, { pam: { service, grants: ['rw:/**'] } }], ...config },
      ...(config !== undefined && 'mounts' in config && { mounts: true }),
      ...(args !== undefined && { args }),
      ...(program !== undefined && { program: program(prepared) }),
    })
    return {
      server,
      users,
      alice,
      bob,
      root,
      folder,
      team,
      service,
      ask: (user, method, target, options = {}) =>
        server.request(method, target, { as: user && [user.name, user.password], ...options }),
      dispose: async () => {
        try {
          await server[Symbol.asyncDispose]()
        } finally {
          remove()
        }
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

function makeFolder(path: string, uid: number, gid: number, mode: number): void {
  mkdirSync(path)
  chownSync(path, uid, gid)
  chmodSync(path, mode)
}

/** A file of a user. */
export function makeFile(
  path: string,
  { uid, gid }: { readonly uid: number; readonly gid: number },
  mode: number,
  content = '',
): void {
  // prettier-ignore
  writeFileSync(path, content)
  chownSync(path, uid, gid)
  chmodSync(path, mode)
}

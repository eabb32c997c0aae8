import { pamDirectory } from '../../src/auth/directory/pam.js'
import { spawnedPam } from '../../src/auth/pam/spawned-pam.js'
import { PamPool } from '../../src/auth/pam/pool.js'
import { pamHelperCommand } from '../../src/config/pam-helper.js'
import { directoryContract } from '../contract/directory.js'
import { system, UnixUsers } from '../unix-users.js'
import { describeForeign } from './tools.js'

const stack = 'auth required pam_unix.so\naccount required pam_unix.so\n'

describeForeign('PAM with real Unix users', ['right: root', 'program: useradd', 'program: chpasswd'], () => {
  directoryContract({
    name: 'pam',
    kinds: ['password'],
    async open() {
      const users = new UnixUsers()
      const service = users.service('contract', stack)
      const logins = new PamPool({
        start: spawnedPam(pamHelperCommand()),
        service,
        rules: { minimumUid: 1000, allowedUsers: [], allowedGroups: [], deniedUsers: [], deniedGroups: [] },
        stampKey: Buffer.from('a key of this test'),
        processes: 2,
        timeoutSeconds: 10,
        refusalMilliseconds: 1,
        warn: () => undefined,
      })
      return {
        directory: pamDirectory({ name: 'pam', logins, grants: ['rw:/{user}/**'] }),
        async hold(_kind, name, secret) {
          const user = users.add(name, secret)
          return { right: { kind: 'password', name: user, password: secret }, name: user }
        },
        async change({ name }) {
          users.setPassword(name, 'another')
          return { kind: 'password', name, password: 'another' }
        },
        disable: async ({ name }) => system('usermod', ['-L', name]),
        remove: async ({ name }) => users.remove(name),
        breakDown: async () => users.removeService(service),
        async close() {
          await logins.close()
          users.cleanUp()
        },
      }
    },
  })
})

import { catalogDirectory } from '../../src/auth/directory/catalog.js'
import { createPasswordHasher } from '../../src/auth/password-hash.js'
import { Accounts } from '../../src/catalog/accounts.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { ManualClock } from '../../src/core/clock.js'
import { directoryContract } from './directory.js'

directoryContract({
  name: 'catalog',
  kinds: ['password'],
  async open() {
    const clock = new ManualClock()
    const catalog = openMemoryCatalog({ clock })
    const accounts = new Accounts(catalog, clock)
    const hasher = createPasswordHasher()
    return {
      directory: catalogDirectory({ accounts, hasher }),
      async hold(_kind, name, secret) {
        await accounts.add({ name, grants: ['rw:/{user}/**'], passwordHash: await hasher.hash(secret) })
        return { right: { kind: 'password', name, password: secret }, name }
      },
      async change({ name }) {
        await accounts.setPassword(name, await hasher.hash('another'))
        return { kind: 'password', name, password: 'another' }
      },
      async disable({ name }) {
        await accounts.setDisabled(name, true)
      },
      remove: ({ name }) => accounts.remove(name),
      breakDown: () => catalog.close(),
    }
  },
})

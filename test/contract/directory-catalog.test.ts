import { catalogDirectory } from '../../src/auth/directory/catalog.js'
import type { Credential } from '../../src/auth/identity.js'
import { createPasswordHasher } from '../../src/auth/password-hash.js'
import { Accounts } from '../../src/catalog/accounts.js'
import { Credentials } from '../../src/catalog/credentials.js'
import type { IssuedKind, NewCredential } from '../../src/catalog/credentials.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { ManualClock } from '../../src/core/clock.js'
import { directoryContract } from './directory.js'
import type { Held } from './directory.js'

const grants = ['rw:/{user}/**']
const issuedKinds: Readonly<Partial<Record<Credential['kind'], IssuedKind>>> = { 'api-key': 'key', bearer: 'token' }

function open() {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  const accounts = new Accounts(catalog, clock)
  const credentials = new Credentials(catalog, clock, new Uint8Array(32))
  const hasher = createPasswordHasher()
  const issuedIds = new Map<string, string>()
  const directory = catalogDirectory({ accounts, credentials, hasher })
  return { catalog, accounts, credentials, hasher, issuedIds, directory, breakDown: () => catalog.close() }
}

function shownAs(kind: IssuedKind, { issued, secret }: NewCredential): Credential {
  return kind === 'key' ? { kind: 'api-key', id: issued.id, secret } : { kind: 'bearer', token: secret }
}

directoryContract({
  name: 'catalog, passwords',
  kinds: ['password', 'api-key', 'bearer'],
  holds: ['password'],
  async open() {
    const { accounts, hasher, ...rig } = open()
    return {
      ...rig,
      async hold(_kind, name, secret) {
        await accounts.add({ name, grants, passwordHash: await hasher.hash(secret) })
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
    }
  },
})

directoryContract({
  name: 'catalog, keys and tokens',
  kinds: ['password', 'api-key', 'bearer'],
  holds: ['api-key', 'bearer'],
  async open() {
    const { accounts, credentials, issuedIds, ...rig } = open()
    const idOf = ({ name }: Held): string => issuedIds.get(name) ?? ''
    const kindOf = ({ right }: Held): IssuedKind => issuedKinds[right.kind] ?? 'token'
    return {
      ...rig,
      async hold(wanted, name) {
        const kind = issuedKinds[wanted] ?? 'token'
        const made = await credentials.issue(kind, { name, grants })
        issuedIds.set(name, made.issued.id)
        return { right: shownAs(kind, made), name }
      },
      async change(held) {
        return shownAs(kindOf(held), await credentials.rotate(kindOf(held), idOf(held), { overlapSeconds: 0 }))
      },
      async disable({ name }) {
        await accounts.add({ name, grants: [], disabled: true })
      },
      async remove(held) {
        await credentials.revoke(kindOf(held), idOf(held))
      },
    }
  },
})

import { compileGrants } from '../../src/auth/grant.js'
import { guard } from '../../src/auth/guard.js'
import { belowHome } from '../../src/auth/home-view.js'
import { catalogLocks } from '../../src/catalog/catalog-locks.js'
import { catalogUploads } from '../../src/catalog/catalog-uploads.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { catalogProperties } from '../../src/catalog/properties.js'
import { systemClock } from '../../src/core/clock.js'
import { bound } from '../../src/store/bound.js'
import { openLocalStore } from '../../src/store/local.js'
import { openMemoryStore } from '../../src/store/memory.js'
import { mountStores } from '../../src/store/mounts.js'
import type { Store } from '../../src/store/store.js'
import { inDirectory } from './store/directory.js'
import { p } from './store/subject.js'
import { storeContract } from './store.js'

// A tree of several stores is a store like any other.

/** The same without the mount points themselves, which the suite has not made. */
function withoutMounts(store: Store): Store {
  return {
    ...bound(store),
    async *list(directory, options) {
      for await (const batch of store.list(directory, options)) {
        const shown = batch.filter(({ mount }) => mount === undefined)
        if (shown.length > 0) yield shown
      }
    },
  }
}

storeContract(
  'memory with others mounted in it',
  async () => {
    const store = mountStores([
      { path: '/mnt/m/n', store: openMemoryStore() },
      { path: '/', store: openMemoryStore() },
      { path: '/zz', store: openMemoryStore() },
    ])
    return { store: withoutMounts(store), dispose: async () => undefined }
  },
  { medium: 'nobody else can put anything into its memory' },
)

storeContract('a directory with memory mounted in it', () =>
  inDirectory(
    async (root) => {
      const local = await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
      return withoutMounts(
        mountStores([
          { path: '/', store: local },
          { path: '/m', store: openMemoryStore() },
        ]),
      )
    },
    ['.postern-write-0123456789abcdef0'],
  ),
)

storeContract(
  'memory at a mount point',
  async () => {
    const catalog = openMemoryCatalog({ clock: systemClock })
    const store = mountStores([
      { path: '/', store: openMemoryStore() },
      { path: '/some/where', store: openMemoryStore() },
      { path: '/some/where/else', store: openMemoryStore() },
    ])
    const home = p('/some/where')
    const permit = compileGrants(['rw:/some/where/**'], 'test')
    const records = {
      locks: catalogLocks(catalog, systemClock),
      properties: catalogProperties(catalog),
      uploads: catalogUploads({ catalog, clock: systemClock, store }),
    }
    const set = guard({ store: withoutMounts(store), ...records }, permit, {
      principal: 'test:alice',
      tokens: new Set(),
    })
    return { store: belowHome(set, permit, home).store, dispose: async () => undefined }
  },
  {
    medium: 'nobody else can put anything into its memory',
    parts: 'rooms know nothing of callers: those hold uploads instead',
    digest: 'the server computes digests by itself',
  },
)

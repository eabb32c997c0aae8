import { compileGrants } from '../../src/auth/grant.js'
import { guard } from '../../src/auth/guard.js'
import { belowHome } from '../../src/auth/home-view.js'
import { bytesBelow, withinQuota } from '../../src/auth/quota-store.js'
import { catalogLocks } from '../../src/catalog/catalog-locks.js'
import { catalogUploads } from '../../src/catalog/catalog-uploads.js'
import { openMemoryCatalog } from '../../src/catalog/memory.js'
import { catalogProperties } from '../../src/catalog/properties.js'
import { createUsage } from '../../src/catalog/usage.js'
import { systemClock } from '../../src/core/clock.js'
import { rootPath, toPath } from '../../src/core/path.js'
import { openLocalStore } from '../../src/store/local.js'
import { openMemoryStore } from '../../src/store/memory.js'
import { inDirectory } from './store/directory.js'
import { storeContract } from './store.js'

// What a caller with a home or a quota holds is a store like any other.

const home = toPath('/home/alice')

storeContract(
  'below a home',
  async () => {
    const catalog = openMemoryCatalog({ clock: systemClock })
    const store = openMemoryStore()
    await store.makeDirectory(toPath('/home'))
    await store.makeDirectory(home)
    const permit = compileGrants(['rw:/home/alice/**'], 'test')
    const records = {
      locks: catalogLocks(catalog, systemClock),
      properties: catalogProperties(catalog),
      uploads: catalogUploads({ catalog, clock: systemClock, store }),
    }
    const set = guard({ store, ...records }, permit, { principal: 'test:alice', tokens: new Set() })
    return { store: belowHome(set, permit, home).store, dispose: async () => undefined }
  },
  {
    medium: 'nobody else can put anything into its memory',
    parts: 'rooms know nothing of callers: those hold uploads instead',
    digest: 'the server computes digests by itself',
  },
)

storeContract('within a quota', () =>
  inDirectory(
    async (root) => {
      const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
      const catalog = openMemoryCatalog({ clock: systemClock })
      const usage = createUsage({ catalog, clock: systemClock, count: (tree) => bytesBelow(store, tree) })
      return withinQuota(store, { home: rootPath, quotaBytes: 2 ** 50, usage })
    },
    ['.postern-write-0123456789abcdef0'],
  ),
)

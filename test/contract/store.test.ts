import { openLocalStore } from '../../src/store/local.js'
import { openMemoryStore } from '../../src/store/memory.js'
import { loadNative } from '../../src/store/native.js'
import { inDirectory } from './store/directory.js'
import { storeContract } from './store.js'

storeContract('memory', async () => ({ store: openMemoryStore(), dispose: async () => undefined }), {
  medium: 'nobody else can put anything into its memory',
})

const reserved = ['.postern-write-0123456789abcdef0', '.POSTERN-x', '.postern-', '.po\u017ftern-y']

for (const durability of ['fast', 'full'] as const) {
  // Without a compiler there is no addon: the slower way is then the only one.
  for (const native of loadNative() === undefined ? [false] : [true, false]) {
    storeContract(`local, ${durability}, ${native ? 'with' : 'without'} the addon`, () =>
      inDirectory((root) => openLocalStore({ root, durability, symlinks: 'absent', native }), reserved),
    )
  }
}

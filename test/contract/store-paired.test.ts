import { loadNative } from '../../src/store/native.js'
import { openPairedStore } from '../worker-pair.js'
import { inDirectory } from './store/directory.js'
import { storeContract } from './store.js'

const reserved = ['.postern-write-0123456789abcdef0', '.POSTERN-x', '.postern-', '.po\u017ftern-y']

for (const durability of ['fast', 'full'] as const) {
  for (const native of loadNative() === undefined ? [false] : [true, false]) {
    storeContract(`written over a link, ${durability}, ${native ? 'with' : 'without'} the addon`, () =>
      inDirectory((root) => openPairedStore({ root, durability, symlinks: 'absent', native }), reserved),
    )
  }
}

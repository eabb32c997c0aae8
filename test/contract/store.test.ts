import { openMemoryStore } from '../../src/store/memory.js'
import { storeContract } from './store.js'

storeContract('memory', async () => ({ store: openMemoryStore(), dispose: async () => undefined }), {
  medium: 'nobody else can put anything into its memory',
})

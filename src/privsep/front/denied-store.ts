import { Failure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import type { Store } from '../../store/store.js'

/** In the place of a store that the caller has none of: whatever is asked is `denied`, with this message. */
export function deniedStore(message: string): Store {
  const denied = async (path: StorePath): Promise<never> => {
    throw new Failure('denied', message, { path })
  }
  return {
    stat: denied,
    async *list(directory) {
      await denied(directory)
      yield []
    },
    open: denied,
    write: denied,
    change: denied,
    makeDirectory: denied,
    remove: denied,
    copy: denied,
    move: denied,
    permits: async () => false,
    close: async () => undefined,
  }
}

import type { Store } from '../store/store.js'
import type { Identity } from './identity.js'

/** Which store an identity gets: the only way in which who asks enters storage. */
export interface StoreSource {
  /** Throws `denied` for an identity that has none, `unavailable` where it cannot be had now. Not to be closed by the caller. */
  storeFor(identity: Identity): Promise<Store>
  close(): Promise<void>
}

/** One store for everybody, closed with the source. */
export function sharedStore(store: Store): StoreSource {
  return { storeFor: async () => store, close: () => store.close() }
}

import { reporting } from '../catalog/reporting.js'
import type { Clock } from '../core/clock.js'
import type { Report } from '../core/events.js'
import type { Store } from '../store/store.js'
import { principalOf } from './identity.js'
import type { StoreSource } from './source.js'

/** So many callers of one store are remembered. */
const mostCallers = 1000

/** The stores of a source, each of which reports what its caller does there. */
export function reportingStores(
  stores: StoreSource,
  to: { readonly report: Report; readonly clock: Clock },
): StoreSource {
  // Made once for each caller: wrapping a store costs more than a small request should.
  const known = new WeakMap<Store, Map<string, Store>>()
  return {
    async storeFor(identity) {
      const store = await stores.storeFor(identity)
      const by = principalOf(identity)
      let callers = known.get(store)
      if (callers === undefined || callers.size >= mostCallers) {
        callers = new Map<string, Store>()
        known.set(store, callers)
      }
      const found = callers.get(by) ?? reporting(store, { ...to, by })
      callers.set(by, found)
      return found
    },
    close: () => stores.close(),
  }
}

import { Failure } from '../../core/failure.js'
import type { Known } from '../../store/local/facts.js'
import type { LocalStore } from '../../store/local.js'
import type { Entry, Written } from '../../store/store.js'
import { encodeKnown, type KnownOnWire } from '../known.js'
import type { Head } from '../wire/link.js'
import { countIn, malformed } from '../write-head.js'

/** All that is told of an entry: the other side makes its entry of it by itself. */
export function told(entry: Entry): KnownOnWire {
  const { known } = entry as Entry & { readonly known?: Known }
  if (known === undefined) throw new Failure('unavailable', 'Nothing is known of this entry.', { path: entry.path })
  return encodeKnown(known)
}

export function toldWritten({ entry, created }: Written): Head {
  return { known: told(entry), created }
}

/** Throws `invalid`. */
export function storeOf(stores: readonly LocalStore[], head: Head): LocalStore {
  const store = stores[countIn(head, 'mount')]
  if (store === undefined) throw malformed()
  return store
}

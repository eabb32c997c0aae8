import { cachedByAddress } from '../../auth/cached-by-address.js'
import { cached } from '../../auth/cached.js'
import type { CachedDirectory, CredentialKey } from '../../auth/cached.js'
import type { Credential, Directory, RequestFacts } from '../../auth/identity.js'
import type { Throttle } from '../../auth/throttle.js'
import type { Clock } from '../../core/clock.js'
import type { About, RememberedBy } from '../auth/about.js'
import type { Link } from '../wire/link.js'
import { admitted } from './admitted.js'
import { patience } from './patience.js'
import type { TicketBook } from './ticket-book.js'

export interface RemoteDirectoriesOptions {
  /** To the process that knows all callers. */
  readonly door: Pick<Link, 'ask'>
  /** What it has said of itself. */
  readonly about: Pick<About, 'kinds'>
  readonly book: TicketBook
  readonly clock: Clock
  readonly keyOf: CredentialKey
}

/** What a front has in the place of sources. */
export interface RemoteDirectories {
  /** No two of them take the same kind of credential. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  /** Nobody who acts as that Unix user is remembered any more; without a name, nobody at all. */
  forget(unixUser?: string): void
}

/** A source says itself until when; this is what it can say at most. */
const longestSeconds = 86_400

/**
 * Asks another process whose a credential is, and remembers what it says for as long as it says. Nobody is remembered for
 * longer than the ticket that came with the answer holds. Failures come across as they are, `throttled` among them.
 */
export function remoteDirectories({ door, about, book, clock, keyOf }: RemoteDirectoriesOptions): RemoteDirectories {
  /** Counts how often somebody was forgotten. */
  let turn = 0
  let allForgotten = 0
  const forgotten = new Map<string, number>()

  function directoryOf(by: RememberedBy, kinds: readonly Credential['kind'][]): Directory | CachedDirectory {
    const directory: Directory = {
      name: 'auth',
      accepts: new Set(kinds),
      async check(credential, facts) {
        // Whoever is forgotten while the answer is on its way is asked about again.
        const stamp = String(turn)
        const { head } = await door.ask('check', { credential, facts: plain(facts) }, patience)
        const { identity, until } = admitted(head, book)
        return { kind: 'identity', identity, stamp, ...(until !== undefined && { until }) }
      },
      async current({ unixUser }, stamp) {
        if (Number(stamp) < allForgotten) return false
        if (unixUser === undefined) return true
        return Number(stamp) >= (forgotten.get(unixUser) ?? 0) && book.expiresOf(unixUser) !== undefined
      },
    }
    const options = { clock, keyOf, ttlSeconds: longestSeconds }
    if (by === 'request') return directory
    return by === 'address' ? cachedByAddress(directory, options) : cached(directory, options)
  }

  const kinds = Object.entries(about.kinds) as readonly (readonly [Credential['kind'], RememberedBy])[]
  const ways = [...new Set(kinds.map(([, by]) => by))]
  return {
    directories: ways.map((way) =>
      directoryOf(
        way,
        kinds.filter(([, by]) => by === way).map(([kind]) => kind),
      ),
    ),
    forget(unixUser) {
      turn += 1
      if (unixUser !== undefined && forgotten.size < mostForgotten) forgotten.set(unixUser, turn)
      else {
        forgotten.clear()
        allForgotten = turn
      }
    },
  }
}

/** What they promise to be and no more: a transport may know more of where a request comes from. */
function plain({ origin, ...others }: RequestFacts): RequestFacts {
  return origin === undefined ? others : { ...others, origin: { scheme: origin.scheme, authority: origin.authority } }
}

const mostForgotten = 1000

/** Slows nobody: whoever checks the credentials does. */
export const openThrottle: Throttle = {
  enter: async () => ({ failed: async () => undefined, passed: () => undefined }),
}

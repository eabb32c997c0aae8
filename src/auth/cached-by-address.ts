import { cached } from './cached.js'
import type { CachedDirectory, CacheOptions } from './cached.js'
import type { Credential, Directory, RequestFacts } from './identity.js'

/**
 * `cached`, for a directory whose answers depend on where the caller is: what was right from one address is asked about
 * again from another.
 */
export function cachedByAddress(directory: Directory, options: Omit<CacheOptions, 'persisted'>): CachedDirectory {
  const addresses = new WeakMap<Credential, string>()
  const keyAt = (key: string, address = ''): string => `${key} ${address}`
  const memory = cached(directory, {
    ...options,
    keyOf: (credential) => keyAt(options.keyOf(credential), addresses.get(credential)),
  })
  return {
    ...memory,
    check(credential: Credential, facts: RequestFacts) {
      // Of its own, for one and the same may be shown from several addresses at once.
      const own = { ...credential }
      addresses.set(own, facts.address ?? '')
      return memory.check(own, facts)
    },
    remembered: (asked) =>
      memory.remembered({
        key: keyAt(asked.key, asked.facts.address),
        facts: asked.facts,
        get credential() {
          return asked.credential
        },
      }),
  }
}

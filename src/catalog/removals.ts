import { createHash } from 'node:crypto'
import type { Removals } from '../store/s3/known-directories.js'
import type { Catalog } from './catalog.js'

const group = 'removals'

/** Tells all who share a catalog of directories that are gone from a place, such as a bucket. */
export function catalogRemovals(catalog: Catalog, place: string): Removals {
  const name = createHash('sha256').update(place).digest('base64url')
  return {
    async current() {
      const known = catalog.glance?.(group, [name])
      return (known === undefined ? await catalog.get(group, name) : known[0])?.version ?? ''
    },
    async tell() {
      await catalog.swap(group, name, new Uint8Array(), 'any')
    },
  }
}

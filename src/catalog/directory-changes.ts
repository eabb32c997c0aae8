import { createHash } from 'node:crypto'
import type { DirectoryChanges } from '../store/s3/known-directories.js'
import type { Catalog } from './catalog.js'

const group = 'directories'

/** Tells all who share a catalog that the directories of a place, such as a bucket, have changed. */
export function directoryChanges(catalog: Catalog, place: string): DirectoryChanges {
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

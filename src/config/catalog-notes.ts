import type { Catalog } from '../catalog/catalog.js'
import type { Notes } from '../store/local/notes.js'

/** What a plain file has no room for, kept in the catalog; in a group of its own for the files of one user. */
export function catalogNotes(catalog: Catalog, group = 'files'): Notes {
  return {
    get: async (key) => (await catalog.get(group, key))?.value,
    glance: (key) => {
      const found = catalog.glance?.(group, [key])
      return found && { value: found[0]?.value }
    },
    glanceMany: (keys) => catalog.glance?.(group, keys)?.map((item) => item?.value),
    put: async (key, value) => {
      await catalog.swap(group, key, value, 'any')
    },
    async update(key, next) {
      for (let isDone: string | false = false; isDone === false;) {
        const item = await catalog.get(group, key)
        isDone = await catalog.swap(group, key, next(item?.value), item?.version)
      }
    },
    forget: async (key) => {
      await catalog.swap(group, key, undefined, 'any')
    },
    async keys(atMost) {
      const keys = new Set<string>()
      for await (const items of catalog.list(group)) {
        for (const { name } of items) keys.add(name)
        if (keys.size > atMost) return undefined
      }
      return keys
    },
    async count(atMost) {
      let count = 0
      for await (const items of catalog.list(group)) if ((count += items.length) >= atMost) return atMost
      return count
    },
  }
}

import type { Clock } from '../core/clock.js'
import type { Catalog, Item } from './catalog.js'

export interface RememberedOptions {
  /** Whose items may be some moments old. */
  readonly groups: readonly string[]
  readonly milliseconds: number
  readonly clock: Clock
}

interface Kept {
  readonly item: Promise<Item | undefined>
  readonly until: number
}

const maxItems = 10_000

/**
 * A catalog that asks again for an item of these groups only after some time: every request looks at its caller's account,
 * and over a network each look costs. What this process itself writes it sees at once; `swap` compares with what is there
 * now in any case, so nothing is ever written over on the word of an old look.
 */
export function remembered(catalog: Catalog, { groups, milliseconds, clock }: RememberedOptions): Catalog {
  const kept = new Map(groups.map((group) => [group, new Map<string, Kept>()]))

  function look(group: string, name: string, items: Map<string, Kept>): Promise<Item | undefined> {
    const now = clock.now()
    const known = items.get(name)
    if (known !== undefined && known.until > now && known.until <= now + milliseconds) return known.item
    if (items.size >= maxItems) items.clear()
    const item = catalog.get(group, name)
    const entry = { item, until: now + milliseconds }
    items.set(name, entry)
    item.catch(() => {
      if (items.get(name) === entry) items.delete(name)
    })
    return item
  }

  const self: Catalog = {
    get(group, name) {
      const items = kept.get(group)
      return items === undefined ? catalog.get(group, name) : look(group, name, items)
    },
    getAll(group, names) {
      const items = kept.get(group)
      return items === undefined
        ? catalog.getAll(group, names)
        : Promise.all(names.map((name) => look(group, name, items)))
    },
    async swap(group, name, next, expected, expires) {
      const items = kept.get(group)
      try {
        return await catalog.swap(group, name, next, expected, expires)
      } finally {
        // Also where it failed: it may have been written, and somebody else has written where it was false.
        items?.delete(name)
      }
    },
    list: (group, options) => catalog.list(group, options),
    add: (group, name, by, expires) => catalog.add(group, name, by, expires),
    close: () => catalog.close(),
  }
  const transaction = catalog.transaction?.bind(catalog)
  const claim = catalog.claim?.bind(catalog)
  if (transaction !== undefined)
    self.transaction = async (changes) => {
      try {
        return await transaction(changes)
      } finally {
        for (const { group, name } of changes) kept.get(group)?.delete(name)
      }
    }
  if (claim !== undefined)
    self.claim = async (group, name, next, unless, expires) => {
      try {
        return await claim(group, name, next, unless, expires)
      } finally {
        kept.get(group)?.delete(name)
      }
    }
  if (catalog.glance !== undefined) self.glance = catalog.glance.bind(catalog)
  if (catalog.glanceList !== undefined) self.glanceList = catalog.glanceList.bind(catalog)
  return self
}

import type { Catalog } from './catalog.js'

/** A part of a catalog with groups of its own: what is in others is not seen through it. To close it does nothing. */
export function catalogPart(catalog: Catalog, part: string): Catalog {
  const own = (group: string): string => `${group}:${part}`
  const transaction = catalog.transaction?.bind(catalog)
  const claim = catalog.claim?.bind(catalog)
  const glance = catalog.glance?.bind(catalog)
  const glanceList = catalog.glanceList?.bind(catalog)
  return {
    get: (group, name) => catalog.get(own(group), name),
    getAll: (group, names) => catalog.getAll(own(group), names),
    swap: (group, name, next, expected, expires) => catalog.swap(own(group), name, next, expected, expires),
    list: (group, options) => catalog.list(own(group), options),
    add: (group, name, by, expires) => catalog.add(own(group), name, by, expires),
    ...(transaction && {
      transaction: (changes) => transaction(changes.map((change) => ({ ...change, group: own(change.group) }))),
    }),
    ...(claim && { claim: (group, name, next, unless, expires) => claim(own(group), name, next, unless, expires) }),
    ...(glance && { glance: (group, names) => glance(own(group), names) }),
    ...(glanceList && { glanceList: (group, prefix) => glanceList(own(group), prefix) }),
    close: async () => undefined,
  }
}

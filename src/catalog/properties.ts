import type { Catalog, Item } from './catalog.js'
import { Decoded } from './decoded.js'
import { membersPrefix, recordName, treePrefix } from './record-name.js'
import { together } from './together.js'
import { systemClock, type Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { isWithin, parentOf, rebase, type StorePath } from '../core/path.js'

export interface PropertyName {
  /** The namespace URI; empty for none. */
  readonly namespace: string
  readonly name: string
}

/** A dead property (RFC 4918 §4): kept whole, never looked into. */
export interface Property extends PropertyName {
  /** The property element with its value, attributes and the namespaces and xml:lang in scope, as one well-formed XML element. */
  readonly xml: string
}

/** One instruction of a PROPPATCH; they count in their order. */
export type PropertyChange =
  { readonly kind: 'set'; readonly property: Property } | { readonly kind: 'remove'; readonly property: PropertyName }

/** Dead properties of files and directories. */
export interface Properties {
  of(path: StorePath): Promise<readonly Property[]>
  /** Those of a directory's members (not deeper), by path; members without any are left out. */
  members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Property[]>>
  /** All of the changes or none. Throws `no-space` where one resource would hold more than 200 KiB. */
  change(path: StorePath, changes: readonly PropertyChange[]): Promise<void>
  /** What each of these has now, for `replace`. */
  look(paths: readonly StorePath[]): Promise<readonly Seen[]>
  /** Gives a resource these properties for those that were seen there. What has been set since then stays. */
  replace(seen: Seen, properties: readonly Property[]): Promise<void>
  /**
   * All at and below the target gets what its like at the source has, and loses what it had; but what was set there after
   * `begun` (milliseconds since the epoch, default: never) stays. For as long as the source stays whole this can be done
   * again, and again gives the same.
   */
  copyTree(from: StorePath, to: StorePath, begun?: number): Promise<void>
  /** `replace` by what a source has now; it may have gone from there already (undefined): then by what was `kept`. */
  give(from: StorePath | undefined, kept: readonly Property[], target: Seen): Promise<void>
  /** Whether anything at or below the path has properties. */
  anyWithin(path: StorePath): Promise<boolean>
  /**
   * Looks at the properties of a path, and for a `tree` at those below it. What it gives drops them, but for those that
   * have changed since: to be called once the path is gone.
   */
  leaving(path: StorePath, extent: 'self' | 'tree'): Promise<() => Promise<void>>
}

/** The properties of a resource as they once were. */
export interface Seen {
  readonly path: StorePath
  readonly properties: readonly Property[]
  /** Undefined where it had none. */
  readonly version: string | undefined
}

const group = 'properties'
const maxBytes = 200 * 1024
const none: readonly Property[] = []
const noMembers: ReadonlyMap<StorePath, readonly Property[]> = new Map()

/** Keeps dead properties in a catalog, one record for each resource that has any. */
export function catalogProperties(catalog: Catalog, clock: Clock = systemClock): Properties {
  const decoded = new Decoded<PropertyRecord>(decode)

  async function look(paths: readonly StorePath[]): Promise<readonly Seen[]> {
    const names = paths.map(recordName)
    const items = catalog.glance?.(group, names) ?? (await catalog.getAll(group, names))
    return paths.map((path, at) => {
      const [name, item] = [names[at], items[at]]
      if (name === undefined || item === undefined) return { path, properties: none, version: undefined }
      return { path, properties: decoded.of(name, item).properties, version: item.version }
    })
  }

  async function read(path: StorePath): Promise<Seen> {
    const name = recordName(path)
    const known = catalog.glance?.(group, [name])
    const item = known === undefined ? await catalog.get(group, name) : known[0]
    if (item === undefined) return { path, properties: none, version: undefined }
    return { path, properties: decoded.of(name, item).properties, version: item.version }
  }

  /** Every record strictly below a path, in batches. */
  async function* below(path: StorePath): AsyncGenerator<readonly Found[]> {
    for await (const items of catalog.list(group, { prefix: treePrefix(path) })) {
      const found: Found[] = []
      for (const item of items) {
        const record = decode(item)
        if (record.path !== path && isWithin(record.path, path))
          found.push({ name: item.name, version: item.version, ...record })
      }
      if (found.length > 0) yield found
    }
  }

  /** The record of a path itself. */
  async function own(path: StorePath): Promise<readonly Found[]> {
    return foundIn(path, await catalog.get(group, recordName(path)))
  }

  function dropping(found: readonly Found[]): () => Promise<void> {
    return () => together(found.map(({ name, version }) => catalog.swap(group, name, undefined, version)))
  }

  async function collect(path: StorePath): Promise<Map<StorePath, Found>> {
    const all = new Map<StorePath, Found>()
    for await (const found of below(path)) for (const each of found) all.set(each.path, each)
    return all
  }

  /** Resolves to false where the record is another one. */
  async function write(
    path: StorePath,
    properties: readonly Property[],
    version: string | undefined,
  ): Promise<boolean> {
    if (properties.length === 0 && version === undefined) return true
    const next = properties.length === 0 ? undefined : encode({ path, properties, changed: clock.now() })
    if (next !== undefined && next.length > maxBytes)
      throw new Failure('no-space', `The properties of one resource may hold at most ${maxBytes} bytes.`)
    return (await catalog.swap(group, recordName(path), next, version)) !== false
  }

  async function replace(seen: Seen, properties: readonly Property[]): Promise<void> {
    const before = new Map(seen.properties.map((property) => [key(property), property.xml]))
    let { version } = seen
    let next = properties
    while (!(await write(seen.path, next, version))) {
      const present = await read(seen.path)
      version = present.version
      const since = present.properties.filter((property) => before.get(key(property)) !== property.xml)
      next = merged(properties, since)
    }
  }

  return {
    async of(path) {
      return (await read(path)).properties
    },

    async members(directory) {
      const prefix = membersPrefix(directory)
      const known = catalog.glanceList?.(group, prefix)
      if (known?.length === 0) return noMembers
      const found = new Map<StorePath, readonly Property[]>()
      for await (const items of known === undefined ? catalog.list(group, { prefix }) : [known]) {
        for (const item of items) {
          const record = decode(item)
          if (record.path !== '/' && parentOf(record.path) === directory) found.set(record.path, record.properties)
        }
      }
      return found
    },

    async change(path, changes) {
      for (;;) {
        const present = await read(path)
        const properties = new Map(present.properties.map((property) => [key(property), property]))
        for (const change of changes) {
          if (change.kind === 'set') properties.set(key(change.property), change.property)
          else properties.delete(key(change.property))
        }
        if (await write(path, [...properties.values()], present.version)) return
      }
    },

    look,
    replace,

    async copyTree(from, to, begun = Infinity) {
      const [source, target, left] = await Promise.all([own(from), own(to), collect(to)])
      for (const each of target) left.set(to, each)
      const give = async ({ path, properties }: Found): Promise<void> => {
        const at = rebase(path, from, to)
        const there = left.get(at)
        left.delete(at)
        const isNewer = (there?.changed ?? 0) > begun
        const before = there?.properties ?? none
        const seen = { path: at, version: there?.version, properties: before }
        await replace(seen, isNewer ? merged(properties, before) : properties)
      }
      for (const each of source) await give(each)
      for await (const found of below(from)) await together(found.map(give))
      const gone = [...left.values()].filter(({ changed = 0 }) => changed <= begun)
      await together(gone.map(({ name, version }) => catalog.swap(group, name, undefined, version)))
    },

    async give(from, kept, target) {
      const [source] = from === undefined ? [] : await own(from)
      await replace(target, source?.properties ?? kept)
    },

    async anyWithin(path) {
      const known = catalog.glance?.(group, [recordName(path)])
      if (known?.[0] !== undefined) return true
      const deeper = async (): Promise<boolean> => (await below(path).next()).done !== true
      const own = known === undefined ? catalog.get(group, recordName(path)) : undefined
      const [item, any] = await Promise.all([own, deeper()])
      return item !== undefined || any
    },

    async leaving(path, extent) {
      const known = catalog.glance?.(group, [recordName(path)])
      const self = known === undefined ? own(path) : foundIn(path, known[0])
      if (extent === 'self') return dropping(await self)
      const [at, deeper] = await Promise.all([self, collect(path)])
      return dropping([...at, ...deeper.values()])
    },
  }
}

interface PropertyRecord {
  readonly path: StorePath
  readonly properties: readonly Property[]
  /** Milliseconds since the epoch; older records do not say. */
  readonly changed?: number
}

interface Found extends PropertyRecord {
  readonly name: string
  readonly version: string
}

function foundIn(path: StorePath, item: Item | undefined): readonly Found[] {
  return item === undefined ? [] : [{ name: recordName(path), version: item.version, ...decode(item) }]
}

/** These and those, which count where both name the same. */
function merged(properties: readonly Property[], over: readonly Property[]): readonly Property[] {
  const all = new Map(properties.map((property) => [key(property), property]))
  for (const property of over) all.set(key(property), property)
  return [...all.values()]
}

function key(property: PropertyName): string {
  return `${property.namespace}\n${property.name}`
}

function encode(record: PropertyRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record))
}

function decode(item: Item): PropertyRecord {
  return JSON.parse(
    Buffer.from(item.value.buffer, item.value.byteOffset, item.value.byteLength).toString(),
  ) as PropertyRecord
}

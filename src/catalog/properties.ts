import type { Catalog, Item } from './catalog.js'
import { Decoded } from './decoded.js'
import { membersPrefix, recordName, treePrefix } from './record-name.js'
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
  /** The target gets the source's properties and loses its own; this resource alone. */
  copy(from: StorePath, to: StorePath): Promise<void>
  /**
   * All at and below the target gets what its like at the source has, and loses what it had. For as long as the source
   * stays whole this can be done again, and again gives the same.
   */
  copyTree(from: StorePath, to: StorePath): Promise<void>
  /** Whether anything at or below the path has properties. */
  anyWithin(path: StorePath): Promise<boolean>
  /** Drops properties at and below a path that is gone. */
  forget(path: StorePath): Promise<void>
}

const group = 'properties'
const maxBytes = 200 * 1024
const none: readonly Property[] = []
const noMembers: ReadonlyMap<StorePath, readonly Property[]> = new Map()

/** Keeps dead properties in a catalog, one record for each resource that has any. */
export function catalogProperties(catalog: Catalog): Properties {
  const decoded = new Decoded<PropertyRecord>(decode)

  async function read(path: StorePath): Promise<{ record: PropertyRecord; version: string } | undefined> {
    const name = recordName(path)
    const known = catalog.glance?.(group, [name])
    const item = known === undefined ? await catalog.get(group, name) : known[0]
    return item === undefined ? undefined : { record: decoded.of(name, item), version: item.version }
  }

  /** Every record at and below a path. */
  async function* within(path: StorePath): AsyncGenerator<{ name: string; record: PropertyRecord; version: string }> {
    const own = await read(path)
    if (own !== undefined) yield { name: recordName(path), ...own }
    for await (const items of catalog.list(group, { prefix: treePrefix(path) })) {
      for (const item of items) {
        const record = decode(item)
        if (record.path !== path && isWithin(record.path, path))
          yield { name: item.name, record, version: item.version }
      }
    }
  }

  async function put(path: StorePath, properties: readonly Property[]): Promise<void> {
    await catalog.swap(
      group,
      recordName(path),
      properties.length === 0 ? undefined : encode({ path, properties }),
      'any',
    )
  }

  return {
    async of(path) {
      return (await read(path))?.record.properties ?? none
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
        const properties = new Map((present?.record.properties ?? []).map((property) => [key(property), property]))
        for (const change of changes) {
          if (change.kind === 'set') properties.set(key(change.property), change.property)
          else properties.delete(key(change.property))
        }
        const next = properties.size === 0 ? undefined : encode({ path, properties: [...properties.values()] })
        if (next === undefined && present === undefined) return
        if (next !== undefined && next.length > maxBytes)
          throw new Failure('no-space', `The properties of one resource may hold at most ${maxBytes} bytes.`)
        if ((await catalog.swap(group, recordName(path), next, present?.version)) !== false) return
      }
    },

    async copy(from, to) {
      const source = await read(from)
      if (source !== undefined) await put(to, source.record.properties)
      else if ((await read(to)) !== undefined) await put(to, [])
    },

    async copyTree(from, to) {
      const given = new Set<StorePath>()
      for await (const { record } of within(from)) {
        const target = rebase(record.path, from, to)
        given.add(target)
        await put(target, record.properties)
      }
      for await (const { name, record } of within(to))
        if (!given.has(record.path)) await catalog.swap(group, name, undefined, 'any')
    },

    async anyWithin(path) {
      const first = await within(path).next()
      return first.done !== true
    },

    async forget(path) {
      for await (const { name } of within(path)) await catalog.swap(group, name, undefined, 'any')
    },
  }
}

interface PropertyRecord {
  readonly path: StorePath
  readonly properties: readonly Property[]
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

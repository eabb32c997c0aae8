import type { Item } from './catalog.js'

const maxRecords = 1000
/** Larger ones are rare and would fill the memory. */
const maxBytes = 4096

/**
 * Decodes the records of one group of a catalog, each version of a record once: versions never come again for the same
 * name. What it gives is shared, so nobody may change it.
 */
export class Decoded<Record> {
  readonly #decode: (item: Item) => Record
  readonly #known = new Map<string, { readonly version: string; readonly record: Record }>()

  constructor(decode: (item: Item) => Record) {
    this.#decode = decode
  }

  /** The record of an item that was read under this name. Throws what decoding throws. */
  of(name: string, item: Item): Record {
    const known = this.#known.get(name)
    if (known?.version === item.version) return known.record
    const record = this.#decode(item)
    if (item.value.byteLength > maxBytes) return record
    if (this.#known.size >= maxRecords) this.#known.clear()
    this.#known.set(name, { version: item.version, record })
    return record
  }
}

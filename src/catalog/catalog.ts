/**
 * Small shared state: what must be remembered beside the files. A few verbs that any database has; locks, properties and
 * accounts are written once on top of them. All methods throw `unavailable` where the database cannot be reached and
 * `too-large` over the limits below. Strongly consistent: what a resolved `swap` wrote, every later `get` and `list` of
 * every instance sees.
 */
export interface Catalog {
  /** The item, or undefined where there is none or it has expired by the catalog's clock. */
  get(group: string, name: string): Promise<Item | undefined>

  /** What `get` would give for each of the names, in as few steps as the engine can. */
  getAll(group: string, names: readonly string[]): Promise<readonly (Item | undefined)[]>

  /**
   * Puts (`next`) or removes (`next` undefined) an item, if its present version is `expected`: undefined means that
   * there must be none (or an expired one); `'any'` takes whatever is there. Resolves to the new version (`''` after a
   * removal), or false where the present version was another; never to false under `'any'`.
   */
  swap(
    group: string,
    name: string,
    next: Uint8Array | undefined,
    expected: string | undefined,
    expires?: Date,
  ): Promise<string | false>

  /** Items whose names begin with `prefix`, in UTF-8 byte order, in batches; with `after`, only names behind it. */
  list(
    group: string,
    options?: { readonly prefix?: string; readonly after?: string },
  ): AsyncIterable<readonly NamedItem[]>

  /** Adds to a counter and resolves to the sum; `by` 0 reads it. A counter that is new or expired starts at 0 and takes `expires`; a live one keeps its own. */
  add(group: string, name: string, by: number, expires: Date): Promise<number>

  /** All of the changes or none; resolves to false where one of the expected versions was another. Absent where the engine has none. At most 100. */
  transaction?(changes: readonly Change[]): Promise<boolean>

  /**
   * `swap` of an item that must not be there yet, on a condition about others of its group, all in one step: resolves to
   * false as well where one of the names in `absent` is taken, or one other than its own that begins with `prefix`.
   * Absent where the engine has none.
   */
  claim?(group: string, name: string, next: Uint8Array, unless: Unless, expires?: Date): Promise<string | false>

  /**
   * What `get` would give for each of the names, where that can be told without waiting for anything; else undefined.
   * Absent where the engine never can.
   */
  glance?(group: string, names: readonly string[]): readonly (Item | undefined)[] | undefined

  /** The same for a `list` of all items with a prefix. */
  glanceList?(group: string, prefix: string): readonly NamedItem[] | undefined

  close(): Promise<void>
}

/** Items that stand in the way of a claim. */
export interface Unless {
  readonly absent: readonly string[]
  readonly prefix?: string
}

/** Versions are opaque, never empty, never `'any'`, and never come again for the same name. */
export interface Item {
  readonly value: Uint8Array
  readonly version: string
}

export interface NamedItem extends Item {
  readonly name: string
}

/** One part of a transaction, with the meaning of `swap`. */
export interface Change {
  readonly group: string
  readonly name: string
  readonly next: Uint8Array | undefined
  readonly expected: string | undefined
  readonly expires?: Date
}

/** Limits of every catalog, in bytes of UTF-8. */
export const maxGroupBytes = 64
export const maxNameBytes = 512
export const maxValueBytes = 256 * 1024

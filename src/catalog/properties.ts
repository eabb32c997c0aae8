import type { StorePath } from '../core/path.js'

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

export interface PropertyChange {
  readonly set: readonly Property[]
  readonly remove: readonly PropertyName[]
}

export interface Properties {
  of(path: StorePath): Promise<readonly Property[]>
  /** Those of a directory's members (not deeper), by path; members without any are left out. */
  members(directory: StorePath): Promise<ReadonlyMap<StorePath, readonly Property[]>>
  /** All of the change or none. Throws `no-space` where one resource would hold more than 200 KiB. */
  change(path: StorePath, change: PropertyChange): Promise<void>
  /** The target gets the source's properties and loses its own; this resource alone. */
  copy(from: StorePath, to: StorePath): Promise<void>
  /** Properties at and below follow a MOVE. */
  move(from: StorePath, to: StorePath): Promise<void>
  /** Drops properties at and below a path that is gone. */
  forget(path: StorePath): Promise<void>
}

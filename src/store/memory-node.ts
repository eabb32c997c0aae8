import { memberOf, type StorePath } from '../core/path.js'
import { compareKeys, keyOf } from './key-order.js'
import type { Attributes, Digests, Entry, ListOptions } from './store.js'

/** Never changed, only replaced: whoever has a file open keeps reading the same bytes. */
export interface FileNode {
  readonly kind: 'file'
  readonly bytes: Uint8Array
  readonly modified: number
  readonly created: number
  readonly etag: string
  readonly executable: boolean
  readonly digests: Digests
  readonly attributes: Attributes
}

/** Lives as long as the directory has its name; its members change in place. */
export interface DirectoryNode {
  readonly kind: 'directory'
  readonly members: Map<string, Node>
  readonly created: number
  modified: number
  etag: string
  attributes: Attributes
}

export type Node = FileNode | DirectoryNode

export function entryOf(path: StorePath, node: Node): Entry {
  const { kind, modified, created, etag, attributes } = node
  if (kind === 'directory') return { path, kind, size: 0, modified, created, etag, attributes }
  const { executable, digests } = node
  return { path, kind, size: node.bytes.length, modified, created, etag, executable, digests, attributes }
}

/** The members, or all descendants, as `Store.list` promises them. */
export function* entriesBelow(path: StorePath, directory: DirectoryNode, options: ListOptions): Generator<Entry, void> {
  const { order = 'any', depth = 1, prefix = '', after } = options
  // A copy: members may come and go while the caller works through them.
  const members = [...directory.members].flatMap(([name, node]) => {
    const member = memberOf(path, name)
    return member === undefined ? [] : [{ key: keyOf({ path: member, kind: node.kind }), path: member, node }]
  })
  if (order === 'key') members.sort((a, b) => compareKeys(a.key, b.key))
  for (const member of members) {
    const passed = order === 'key' && after !== undefined && compareKeys(member.key, after) <= 0
    if (!passed && member.path.startsWith(prefix)) yield entryOf(member.path, member.node)
    if (depth === 1 || member.node.kind === 'file') continue
    const mayHoldPrefix = member.key.startsWith(prefix) || prefix.startsWith(member.key)
    const mayHoldMore = !passed || after.startsWith(member.key)
    if (mayHoldPrefix && mayHoldMore) yield* entriesBelow(member.path, member.node, options)
  }
}

/** Bytes of the file, or of all files below. */
export function bytesBelow(node: Node): number {
  if (node.kind === 'file') return node.bytes.length
  let used = 0
  for (const member of node.members.values()) used += bytesBelow(member)
  return used
}

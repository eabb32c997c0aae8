import { closeSync, constants } from 'node:fs'
import { memberOf, nameOf, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { compareKeys, keyOf } from '../key-order.js'
import { type LocalContext, lookInto } from './context.js'
import { batchEntries, type Member, Members, openDirectory } from './members.js'
import { directoryKind, fileKind, linkKind } from '../native.js'
import { isReservedName } from '../reserved.js'
import { SortedNames } from '../sorted-names.js'
import type { Entry, ListOptions } from '../store.js'

const { O_RDONLY, O_DIRECTORY } = constants

/**
 * A listing in the order of keys. A directory is read when it is come to, all of its names are sorted, and only those are
 * looked at that are given out. What lies before `after`, or has not the prefix, is skipped unseen.
 */
export class KeyWalk {
  readonly #context: LocalContext
  readonly #options: ListOptions
  readonly #members: Members
  readonly #prefix: string
  readonly #after: string | undefined
  readonly #deep: boolean

  constructor(context: LocalContext, options: ListOptions) {
    this.#context = context
    this.#options = options
    this.#members = new Members(context, options)
    this.#prefix = options.prefix ?? ''
    this.#after = options.after
    this.#deep = options.depth === 'infinity'
  }

  async *from(directory: StorePath): AsyncGenerator<readonly Entry[]> {
    throwIfAborted(this.#options.signal)
    yield* this.#inside(directory, openDirectory(this.#context, directory), [])
  }

  /** Takes over the descriptor. */
  async *#inside(directory: StorePath, fd: number, above: readonly string[]): AsyncGenerator<readonly Entry[]> {
    try {
      const inner = this.#deep ? [...above, this.#members.identity(fd)] : above
      const base = directory === '/' ? directory : directory + '/'
      const wanted = this.#prefix.startsWith(base) ? this.#prefix.slice(base.length) : ''
      if (wanted === '' && !base.startsWith(this.#prefix)) return
      const slash = wanted.indexOf('/')
      if (slash !== -1) {
        // Only what lies in one of the members can have the prefix.
        const only = this.#deep ? namedMember(directory, wanted.slice(0, slash)) : undefined
        if (only !== undefined) yield* this.#below(only, inner)
        return
      }
      const names = await this.#names(directory, fd)
      for (let at = this.#first(names, base, wanted); at < names.length;) {
        const members: Member[] = []
        // Up to and including the next directory that is gone into.
        for (let isLast = false; !isLast && members.length < batchEntries && at < names.length; at++) {
          const key = names.keyAt(at)
          if (!key.startsWith(wanted)) {
            at = names.length
            break
          }
          const isDirectory = key.endsWith('/')
          const name = isDirectory ? key.slice(0, -1) : key
          const path = (base + name) as StorePath
          members.push({ name: names.onDisk(name), path, kind: isDirectory ? directoryKind : fileKind })
          isLast = this.#deep && isDirectory
        }
        const last = members.at(-1)
        const entries = (await this.#members.look(fd, members)).filter((entry) => this.#isBehind(entry))
        if (entries.length > 0) yield entries
        if (this.#deep && last?.kind === directoryKind) yield* this.#below(last.path, inner)
      }
    } finally {
      closeSync(fd)
    }
  }

  async *#below(path: StorePath, above: readonly string[]): AsyncGenerator<readonly Entry[]> {
    const below = this.#context.beneath.open(path, O_RDONLY | O_DIRECTORY)
    if (below < 0) return
    // Only where links are followed can a directory lie below itself.
    if (this.#context.beneath.followsLinks && above.includes(this.#members.identity(below))) closeSync(below)
    else yield* this.#inside(path, below, above)
  }

  /** Where to begin: at the first key that is wanted, or at the directory in which `after` lies. */
  #first(names: SortedNames, base: string, wanted: string): number {
    const first = wanted === '' ? 0 : names.find(wanted)
    if (this.#after === undefined) return first
    if (!this.#after.startsWith(base)) return compareKeys(base, this.#after) < 0 ? names.length : first
    const after = this.#after.slice(base.length)
    const behind = names.find(after, true)
    const above = behind > 0 && this.#deep ? names.keyAt(behind - 1) : ''
    return Math.max(first, above.endsWith('/') && after.startsWith(above) ? behind - 1 : behind)
  }

  #isBehind(entry: Entry): boolean {
    return this.#after === undefined || compareKeys(keyOf(entry), this.#after) > 0
  }

  /** All names that clients may see, sorted. */
  async #names(directory: StorePath, fd: number): Promise<SortedNames> {
    const { listings, pace } = this.#context
    const time = Date.now()
    const before = lookInto(this.#context, fd, directory)
    const kept = listings.find(before)
    if (kept !== undefined) return kept
    const keys: string[] = []
    const onDisk = new Map<string, string>()
    let hasLinks = false
    for (const member of this.#members.visible(directory, fd)) {
      if (pace.isDue()) await this.#members.pause()
      hasLinks ||= member.kind === linkKind
      if (member.kind !== fileKind && member.kind !== directoryKind) this.#members.resolve(fd, member)
      const name = nameOf(member.path)
      if (name !== member.name) onDisk.set(name, member.name)
      keys.push(member.kind === directoryKind ? name + '/' : name)
    }
    const names = await SortedNames.of(keys, onDisk, pace)
    throwIfAborted(this.#options.signal)
    // What a link leads to can change without a trace here.
    if (!hasLinks) listings.keep(names, before, time, lookInto(this.#context, fd, directory))
    return names
  }
}

/** The member with that name, if a client can name it like that. */
function namedMember(directory: StorePath, name: string): StorePath | undefined {
  const path = memberOf(directory, name)
  return path !== undefined && nameOf(path) === name && !isReservedName(name) ? path : undefined
}

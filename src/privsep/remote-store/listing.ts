import { memberOf, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../../store/aborted.js'
import { compareKeys, keyOf } from '../../store/key-order.js'
import { isReservedName } from '../../store/reserved.js'
import type { Entry, ListOptions } from '../../store/store.js'
import type { Answered, Head } from '../wire/link.js'
import type { KnownEntry } from './notes.js'
import { askPlainly, type Peer, type RemoteMount } from './peer.js'
import { patience } from './reading.js'
import { entryTold } from './told-entry.js'

/** On one page, at most; and in one listing, which could go on for ever else. */
const mostOnPage = 2000
const mostInAll = 50_000_000
const longestPath = 8000

/** `Store.list` by the process of a user: page by page, the next one on its way while one is read. */
export function listRemote(
  mount: RemoteMount,
  directory: StorePath,
  options: ListOptions = {},
): AsyncIterable<readonly Entry[]> {
  return { [Symbol.asyncIterator]: () => new RemoteListing(mount, directory, options) }
}

class RemoteListing implements AsyncIterator<readonly Entry[]> {
  readonly #mount: RemoteMount
  readonly #directory: StorePath
  readonly #options: ListOptions
  readonly #members: MemberCheck
  #peer: Peer | undefined
  #letGo: (() => void) | undefined
  /** What the other side calls it, while it is open there. */
  #list: number | undefined
  #next: Promise<Answered> | undefined
  #isOver = false

  constructor(mount: RemoteMount, directory: StorePath, options: ListOptions) {
    this.#mount = mount
    this.#directory = directory
    this.#options = options
    this.#members = new MemberCheck(directory, options)
  }

  async next(): Promise<IteratorResult<readonly Entry[]>> {
    try {
      while (!this.#isOver) {
        throwIfAborted(this.#options.signal)
        const page = await this.#page()
        if (page.length > 0) return { value: page, done: false }
      }
      return { value: undefined, done: true }
    } catch (error) {
      await this.return()
      throw error
    }
  }

  async return(): Promise<IteratorResult<readonly Entry[]>> {
    this.#isOver = true
    const list = this.#list
    this.#list = undefined
    if (list !== undefined) await this.#peer?.ask('list-end', { list }).catch(() => undefined)
    this.#letGo?.()
    this.#letGo = undefined
    return { value: undefined, done: true }
  }

  async #page(): Promise<readonly Entry[]> {
    const { signal, noted } = this.#options
    const peer = (this.#peer ??= await this.#mount.connect())
    this.#letGo ??= peer.hold()
    const { head } = await (this.#next ?? this.#begin(peer, signal))
    const told = this.#members.entries(peer, head)
    if (head.list === undefined) {
      this.#list = undefined
      await this.return()
    } else if (!Number.isSafeInteger(head.list) || (this.#list !== undefined && this.#list !== head.list))
      throw peer.distrust('a listing without a number')
    else if (told.length === 0) throw peer.distrust('a page of nothing')
    else {
      this.#list = head.list as number
      this.#next = askPlainly(peer, 'list-next', { list: this.#list }, { ...patience, signal })
      this.#next.catch(() => undefined)
    }
    return noted === true ? await this.#mount.notes.noted(told) : told.map(({ entry }) => entry)
  }

  #begin(peer: Peer, signal: AbortSignal | undefined): Promise<Answered> {
    const { order, depth, prefix, after } = this.#options
    const asked = { mount: this.#mount.mount, path: this.#directory, order, depth, prefix, after }
    return askPlainly(peer, 'list', asked, { ...patience, signal })
  }
}

/** Sees to it that what is listed lies where it was asked for, in the order that was asked for. */
class MemberCheck {
  readonly #directory: StorePath
  readonly #base: string
  readonly #options: ListOptions
  /** The last directory that was found to lie below. */
  #above: StorePath
  #after: string
  #count = 0

  constructor(directory: StorePath, options: ListOptions) {
    this.#directory = directory
    this.#base = directory === '/' ? '/' : directory + '/'
    this.#options = options
    this.#above = directory
    this.#after = options.after ?? ''
  }

  entries(peer: Peer, { names, known }: Head): readonly KnownEntry[] {
    if (!Array.isArray(names) || !Array.isArray(known) || names.length !== known.length || names.length > mostOnPage)
      throw peer.distrust('a page that is none')
    this.#count += names.length
    if (this.#count > mostInAll) throw peer.distrust('a listing without end')
    return names.map((name: unknown, index) => this.#entry(peer, name, known[index]))
  }

  #entry(peer: Peer, name: unknown, known: unknown): KnownEntry {
    const path = typeof name === 'string' ? this.#pathOf(name) : undefined
    if (path === undefined) throw peer.distrust('a member that lies elsewhere')
    const told = entryTold(peer, path, known)
    const { prefix = '', order } = this.#options
    if (!path.startsWith(prefix)) throw peer.distrust('a member that was not asked for')
    if (order !== 'key') return told
    const key = keyOf(told.entry)
    if (compareKeys(key, this.#after) <= 0) throw peer.distrust('members out of order')
    this.#after = key
    return told
  }

  /** Undefined where no member can have that name. */
  #pathOf(name: string): StorePath | undefined {
    const slash = name.lastIndexOf('/')
    if (slash === -1) return memberTold(this.#directory, name)
    if (this.#options.depth !== 'infinity' || name.length > longestPath) return undefined
    const above = this.#base + name.slice(0, slash)
    if (above !== this.#above) {
      let at: StorePath | undefined = this.#directory
      for (const each of name.slice(0, slash).split('/')) at = at === undefined ? undefined : memberTold(at, each)
      if (at === undefined) return undefined
      this.#above = at
    }
    return memberTold(this.#above, name.slice(slash + 1))
  }
}

const longestName = 1024

function memberTold(directory: StorePath, name: string): StorePath | undefined {
  if (name.length > longestName || isReservedName(name) || !name.isWellFormed()) return undefined
  const path = memberOf(directory, name)
  return path?.endsWith('/' + name) === true && path.length <= longestPath ? path : undefined
}

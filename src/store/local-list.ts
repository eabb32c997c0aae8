import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../core/failure.js'
import { memberOf, nameOf, rootPath, type StorePath } from '../core/path.js'
import { throwIfAborted } from './aborted.js'
import { compareKeys } from './key-order.js'
import { absentOr, isAbsent, isReserved, type LocalContext } from './local-context.js'
import { entryOf, isForeign } from './local-facts.js'
import { isReservedName, namesIn } from './local-names.js'
import type { Pace } from './local-pace.js'
import { directoryKind, fact, factsLength, fileKind, linkKind } from './native.js'
import type { Entry, ListOptions } from './store.js'

const { O_RDONLY, O_DIRECTORY } = constants
const { errno } = system

/** Entries looked at in one go. */
const batchEntries = 250

/** Of the batch that is being looked at, which is done in one turn. */
const facts = new Float64Array(factsLength * batchEntries)

/** A name on disk, the path that it has for clients, and its kind as far as the directory tells. */
interface Member {
  readonly name: string
  readonly path: StorePath
  kind: number
}

/** `Store.list` */
export function list(
  context: LocalContext,
  directory: StorePath,
  options: ListOptions = {},
): AsyncIterable<readonly Entry[]> {
  const walk = new Walk(context, options)
  const inOneDirectory = options.order !== 'key' && options.depth !== 'infinity' && (options.prefix ?? '') === ''
  return inOneDirectory ? walk.membersOf(directory) : walk.from(directory)
}

/** Opens a directory to list. Throws `not-found`, `not-directory`. */
export function openDirectory(context: LocalContext, path: StorePath): number {
  if (isReserved(path)) throw new Failure('not-found', 'There is no such directory.', { path })
  // What is no directory is not opened at all. A root that was removed can still be opened, but not be looked at.
  const fd = path === rootPath ? -errno.ENOENT : context.beneath.open(path, O_RDONLY | O_DIRECTORY)
  if (fd >= 0) return fd
  const looked = context.beneath.stat(path, facts)
  if (looked < 0) throw absentOr(looked, path)
  if (facts[fact.kind] === fileKind) throw new Failure('not-directory', 'This is a file.', { path })
  if (facts[fact.kind] !== directoryKind) throw new Failure('not-found', 'There is no such directory.', { path })
  const again = context.beneath.open(path, O_RDONLY | O_DIRECTORY)
  if (again < 0) throw absentOr(again, path)
  return again
}

class Walk {
  readonly #context: LocalContext
  readonly #options: ListOptions
  readonly #prefix: string
  readonly #after: string | undefined
  readonly #deep: boolean
  readonly #pace: Pace

  constructor(context: LocalContext, options: ListOptions) {
    this.#context = context
    this.#options = options
    this.#pace = context.pace
    this.#prefix = options.prefix ?? ''
    this.#after = options.order === 'key' ? options.after : undefined
    this.#deep = options.depth === 'infinity'
  }

  /** All that the options ask for. */
  async *from(directory: StorePath): AsyncGenerator<readonly Entry[]> {
    throwIfAborted(this.#options.signal)
    const fd = openDirectory(this.#context, directory)
    yield* this.#options.order === 'key' ? this.inOrder(directory, fd, []) : this.inAnyOrder(directory, fd)
  }

  /** The members of one directory, which is opened when the first of them are asked for. */
  membersOf(directory: StorePath): AsyncIterableIterator<readonly Entry[]> {
    let fd = -1
    let batches: Iterator<readonly Member[]> | undefined
    const end = async (): Promise<IteratorResult<readonly Entry[]>> => {
      if (fd >= 0) closeSync(fd)
      fd = -1
      batches = [][Symbol.iterator]()
      return { value: undefined, done: true }
    }
    // By hand: generators within generators cost a short listing more than its system calls do.
    const iterator: AsyncIterableIterator<readonly Entry[]> = {
      next: async () => {
        try {
          for (;;) {
            throwIfAborted(this.#options.signal)
            if (this.#pace.isDueNow()) await this.#pause()
            if (batches === undefined) {
              fd = openDirectory(this.#context, directory)
              batches = this.#batches(directory, fd)
            }
            const batch = batches.next()
            if (batch.done === true) return await end()
            const entries = this.#entries(fd, batch.value, 0, batch.value.length)
            if (entries.length > 0) return { value: entries, done: false }
          }
        } catch (error) {
          await end()
          throw error
        }
      },
      return: end,
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** A directory's members, then those of its directories, one directory open at a time. Takes over the descriptor. */
  async *inAnyOrder(directory: StorePath, fd: number): AsyncGenerator<readonly Entry[]> {
    const todo: { path: StorePath; above: readonly string[] }[] = []
    let above: readonly string[] = []
    for (let path = directory, open = fd; ;) {
      try {
        if (this.#deep) above = [...above, this.#identity(open)]
        for await (const batch of this.#asTheyCome(path, open)) {
          if (this.#deep)
            for (const entry of batch)
              if (entry.kind === 'directory' && this.#mayHold(entry.path)) todo.push({ path: entry.path, above })
          const wanted = this.#prefix === '' ? batch : batch.filter((entry) => entry.path.startsWith(this.#prefix))
          if (wanted.length > 0) yield wanted
        }
      } finally {
        closeSync(open)
      }
      const next = this.#openNext(todo)
      if (next === undefined) return
      ;({ path, open, above } = next)
    }
  }

  /** By key: members are sorted by name before they are looked at, and whole directories before `after` are passed over. */
  async *inOrder(directory: StorePath, fd: number, above: readonly string[]): AsyncGenerator<readonly Entry[]> {
    try {
      const inner = this.#deep ? [...above, this.#identity(fd)] : above
      const all = await this.#members(directory, fd)
      for (const member of all) if (member.kind !== fileKind && member.kind !== directoryKind) this.#resolve(fd, member)
      const members = all
        .map((member) => ({ ...member, key: member.kind === directoryKind ? member.path + '/' : member.path }))
        .filter(({ path, key, kind }) => {
          const deeper = this.#deep && kind === directoryKind
          if (!path.startsWith(this.#prefix) && !(deeper && this.#mayHold(path))) return false
          return (
            this.#after === undefined || compareKeys(key, this.#after) > 0 || (deeper && this.#after.startsWith(key))
          )
        })
        .sort((a, b) => compareKeys(a.key, b.key))
      for (let from = 0; from < members.length;) {
        // Up to and including the next directory that is gone into.
        let count = 1
        while (count < batchEntries && from + count < members.length) {
          if (this.#deep && members[from + count - 1]?.kind === directoryKind) break
          count++
        }
        const last = members[from + count - 1]
        const batch = await this.#look(fd, members, from, count)
        from += count
        const wanted = batch.filter((entry) => this.#isWanted(entry))
        if (wanted.length > 0) yield wanted
        if (!this.#deep || last?.kind !== directoryKind || !this.#mayHold(last.path)) continue
        const below = this.#context.beneath.open(last.path, O_RDONLY | O_DIRECTORY)
        if (below < 0) continue
        if (this.#context.beneath.followsLinks && inner.includes(this.#identity(below))) closeSync(below)
        else yield* this.inOrder(last.path, below, inner)
      }
    } finally {
      closeSync(fd)
    }
  }

  #isWanted(entry: Entry): boolean {
    if (!entry.path.startsWith(this.#prefix)) return false
    const key = entry.kind === 'directory' ? entry.path + '/' : entry.path
    return this.#after === undefined || compareKeys(key, this.#after) > 0
  }

  /** Whether something below a directory can have the wanted prefix. */
  #mayHold(path: StorePath): boolean {
    if (this.#prefix === '') return true
    const below = path + '/'
    return below.startsWith(this.#prefix) || this.#prefix.startsWith(below)
  }

  #openNext(
    todo: { path: StorePath; above: readonly string[] }[],
  ): { path: StorePath; open: number; above: readonly string[] } | undefined {
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      throwIfAborted(this.#options.signal)
      const open = this.#context.beneath.open(next.path, O_RDONLY | O_DIRECTORY)
      if (open < 0) continue
      // Only where links are followed can a directory lie below itself.
      if (!this.#context.beneath.followsLinks || !next.above.includes(this.#identity(open))) return { ...next, open }
      closeSync(open)
    }
    return undefined
  }

  #identity(fd: number): string {
    if (!this.#context.beneath.followsLinks) return ''
    this.#context.beneath.calls.fstat(fd, facts)
    return [fact.device, fact.inodeHigh, fact.inodeLow].map((at) => facts[at]).join(':')
  }

  /** All members, so that they can be sorted. */
  async #members(directory: StorePath, fd: number): Promise<Member[]> {
    const members: Member[] = []
    for (const member of this.#visible(directory, fd)) {
      if (this.#pace.isDue()) await this.#pause()
      members.push(member)
    }
    return members
  }

  /** Members while the directory is still being read, so that few names are held. */
  async *#asTheyCome(directory: StorePath, fd: number): AsyncGenerator<readonly Entry[]> {
    for (const members of this.#batches(directory, fd)) yield await this.#look(fd, members, 0, members.length)
  }

  *#batches(directory: StorePath, fd: number): Generator<readonly Member[], undefined> {
    let members: Member[] = []
    for (const member of this.#visible(directory, fd)) {
      members.push(member)
      if (members.length < batchEntries) continue
      yield members
      members = []
    }
    if (members.length > 0) yield members
    return undefined
  }

  /** The names that clients may see. Where two on disk mean the same to them, the composed one wins. */
  *#visible(directory: StorePath, fd: number): Generator<Member> {
    const { calls, followsLinks } = this.#context.beneath
    let odd: Map<StorePath, Member> | undefined
    try {
      for (const { name, kind } of namesIn(calls, fd)) {
        if (kind !== 0 && isForeign(kind) && !(kind === linkKind && followsLinks)) continue
        if (isReservedName(name)) continue
        const path = memberOf(directory, name)
        if (path === undefined) continue
        const member = { name, path, kind }
        if (path.endsWith(name)) yield member
        else if (odd?.has(path) !== true) (odd ??= new Map<StorePath, Member>()).set(path, member)
      }
    } catch (error) {
      // A directory that goes away while it is read ends there.
      if (!(error instanceof Failure) || error.kind !== 'not-found') throw error
    }
    if (odd !== undefined)
      for (const member of odd.values()) if (calls.statAt(fd, nameOf(member.path), facts) < 0) yield member
  }

  async #look(fd: number, members: readonly Member[], from: number, count: number): Promise<Entry[]> {
    if (this.#pace.isDueNow()) await this.#pause()
    throwIfAborted(this.#options.signal)
    return this.#entries(fd, members, from, count)
  }

  #entries(fd: number, members: readonly Member[], from: number, count: number): Entry[] {
    const { calls } = this.#context.beneath
    const names: string[] = []
    for (let i = 0; i < count; i++) names.push(members[from + i]?.name ?? '')
    calls.statMany(fd, names, 0, count, facts)
    const entries: Entry[] = []
    for (let i = 0; i < count; i++) {
      const member = members[from + i]
      const at = i * factsLength
      if (member === undefined) continue
      let kind = facts[at + fact.kind]
      if (kind === linkKind && this.#context.beneath.followsLinks) {
        const target = new Float64Array(factsLength)
        if (this.#context.beneath.stat(member.path, target) < 0) continue
        facts.set(target, at)
        kind = target[fact.kind]
      }
      if (!isForeign(kind)) entries.push(entryOf(member.path, facts, at))
    }
    return entries
  }

  /** Settles the kind of a member that the directory did not tell, or that is a link. */
  #resolve(fd: number, member: Member): void {
    const { beneath } = this.#context
    if (beneath.calls.statAt(fd, member.name, facts) < 0) return
    if (facts[fact.kind] === linkKind && beneath.followsLinks && isAbsent(beneath.stat(member.path, facts))) return
    member.kind = facts[fact.kind] ?? 0
  }

  async #pause(): Promise<void> {
    await this.#pace.pause()
    throwIfAborted(this.#options.signal)
  }
}

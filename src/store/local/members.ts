import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../../core/failure.js'
import { memberOf, nameOf, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { absentOr, isAbsent, type LocalContext } from './context.js'
import { entryOf, entryOfKnown, isForeign, type Known, knownOf } from './facts.js'
import { namesIn } from './names.js'
import { isReserved, isReservedName } from '../reserved.js'
import { nothingNoted, shown } from './notes.js'
import { directoryKind, fact, factsLength, fileKind, linkKind } from '../native.js'
import type { Entry, ListOptions } from '../store.js'

const { O_RDONLY, O_DIRECTORY } = constants
const { errno } = system

/** Entries looked at in one go: four times that is a page of 1,000 and the one that tells that there is another page. */
export const batchEntries = 251

/** Of the batch that is being looked at, which is done in one turn. */
const facts = new Float64Array(factsLength * batchEntries)

/** A name on disk, the path that it has for clients, and its kind as far as the directory tells. */
export interface Member {
  readonly name: string
  readonly path: StorePath
  kind: number
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

/** What one listing does with any directory: reads its names, looks at them, lets others in. */
export class Members {
  readonly #context: LocalContext
  readonly #options: ListOptions
  readonly #prefix: string

  constructor(context: LocalContext, options: ListOptions) {
    this.#context = context
    this.#options = options
    this.#prefix = options.prefix ?? ''
  }

  /** Whether something below a directory can have the wanted prefix. */
  mayHold(path: StorePath): boolean {
    if (this.#prefix === '') return true
    const below = path + '/'
    return below.startsWith(this.#prefix) || this.#prefix.startsWith(below)
  }

  /** Tells a directory from those above it, where it could lie below itself; empty where it cannot. */
  identity(fd: number): string {
    if (!this.#context.beneath.followsLinks) return ''
    this.#context.beneath.calls.fstat(fd, facts)
    return [fact.device, fact.inodeHigh, fact.inodeLow].map((at) => facts[at]).join(':')
  }

  /** The names that clients may see. Where two on disk mean the same to them, the composed one wins. */
  *visible(directory: StorePath, fd: number): Generator<Member> {
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

  /** The entries of some members of an open directory, all that the options ask for. */
  async look(fd: number, members: readonly Member[]): Promise<readonly Entry[]> {
    if (this.#context.pace.isDueNow()) await this.pause()
    throwIfAborted(this.#options.signal)
    return this.#options.noted === true ? await this.noted(fd, members) : this.entries(fd, members)
  }

  /** With what is noted of them. */
  async noted(fd: number, members: readonly Member[]): Promise<readonly Entry[]> {
    const known: Known[] = []
    const entries = this.entries(fd, members, known)
    const { notes } = this.#context
    const noted = await notes.readMany(known)
    for (const [index, one] of known.entries()) {
      const what = noted[index] ?? nothingNoted
      const entry = entries[index]
      // The entry was made just now, and nobody else has it yet.
      if (what !== nothingNoted && entry !== undefined) Object.assign(entry, shown(notes, one, what))
    }
    return entries
  }

  /** Without, and what is known of each for `known`. At most `batchEntries`. */
  entries(fd: number, members: readonly Member[], known?: Known[]): readonly Entry[] {
    const { calls } = this.#context.beneath
    const names = members.map(({ name }) => name)
    calls.statMany(fd, names, 0, names.length, facts)
    const entries: Entry[] = []
    for (const [index, member] of members.entries()) {
      const at = index * factsLength
      let kind = facts[at + fact.kind]
      if (kind === linkKind && this.#context.beneath.followsLinks) {
        const target = new Float64Array(factsLength)
        if (this.#context.beneath.stat(member.path, target) < 0) continue
        facts.set(target, at)
        kind = target[fact.kind]
      }
      if (isForeign(kind)) continue
      if (known === undefined) entries.push(entryOf(member.path, facts, at))
      else {
        const one = knownOf(facts, at)
        known.push(one)
        entries.push(entryOfKnown(member.path, one))
      }
    }
    return entries
  }

  /** Settles the kind of a member that the directory did not tell, or that is a link. */
  resolve(fd: number, member: Member): void {
    const { beneath } = this.#context
    if (beneath.calls.statAt(fd, member.name, facts) < 0) return
    if (facts[fact.kind] === linkKind && beneath.followsLinks && isAbsent(beneath.stat(member.path, facts))) return
    member.kind = facts[fact.kind] ?? 0
  }

  async pause(): Promise<void> {
    await this.#context.pace.pause()
    throwIfAborted(this.#options.signal)
  }
}

import { closeSync, constants } from 'node:fs'
import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import type { LocalContext } from './context.js'
import { KeyWalk } from './list-keys.js'
import { batchEntries, type Member, Members, openDirectory } from './members.js'
import type { Entry, ListOptions } from '../store.js'

const { O_RDONLY, O_DIRECTORY } = constants

/** `Store.list` */
export function list(
  context: LocalContext,
  directory: StorePath,
  options: ListOptions = {},
): AsyncIterable<readonly Entry[]> {
  if (options.order === 'key') return new KeyWalk(context, options).from(directory)
  const walk = new Walk(context, options)
  const inOneDirectory = options.depth !== 'infinity' && (options.prefix ?? '') === ''
  return inOneDirectory ? walk.membersOf(directory) : walk.from(directory)
}

/** A listing in the order of the disk. */
class Walk {
  readonly #context: LocalContext
  readonly #options: ListOptions
  readonly #members: Members
  readonly #prefix: string
  readonly #deep: boolean

  constructor(context: LocalContext, options: ListOptions) {
    this.#context = context
    this.#options = options
    this.#members = new Members(context, options)
    this.#prefix = options.prefix ?? ''
    this.#deep = options.depth === 'infinity'
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
            if (this.#context.pace.isDueNow()) await this.#members.pause()
            if (batches === undefined) {
              fd = openDirectory(this.#context, directory)
              batches = this.#batches(directory, fd)
            }
            const batch = batches.next()
            if (batch.done === true) return await end()
            const entries = this.#options.noted
              ? await this.#members.noted(fd, batch.value)
              : this.#members.entries(fd, batch.value)
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
  async *from(directory: StorePath): AsyncGenerator<readonly Entry[]> {
    throwIfAborted(this.#options.signal)
    const fd = openDirectory(this.#context, directory)
    const todo: { path: StorePath; above: readonly string[] }[] = []
    let above: readonly string[] = []
    for (let path = directory, open = fd; ;) {
      try {
        if (this.#deep) above = [...above, this.#members.identity(open)]
        for (const members of this.#batches(path, open)) {
          const batch = await this.#members.look(open, members)
          if (this.#deep)
            for (const entry of batch)
              if (entry.kind === 'directory' && this.#members.mayHold(entry.path))
                todo.push({ path: entry.path, above })
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

  #openNext(
    todo: { path: StorePath; above: readonly string[] }[],
  ): { path: StorePath; open: number; above: readonly string[] } | undefined {
    for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
      throwIfAborted(this.#options.signal)
      const open = this.#context.beneath.open(next.path, O_RDONLY | O_DIRECTORY)
      if (open < 0) continue
      // Only where links are followed can a directory lie below itself.
      if (!this.#context.beneath.followsLinks || !next.above.includes(this.#members.identity(open)))
        return { ...next, open }
      closeSync(open)
    }
    return undefined
  }

  /** Members while the directory is still being read, so that few names are held. */
  *#batches(directory: StorePath, fd: number): Generator<readonly Member[], undefined> {
    let members: Member[] = []
    for (const member of this.#members.visible(directory, fd)) {
      members.push(member)
      if (members.length < batchEntries) continue
      yield members
      members = []
    }
    if (members.length > 0) yield members
    return undefined
  }
}

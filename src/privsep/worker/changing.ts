import type { LocalStore } from '../../store/local.js'
import type { Attributes, EntryChange, Transfer } from '../../store/store.js'
import type { Asked, Head, Table, TableEntry } from '../wire/link.js'
import { countIn, decodeWriteOptions, malformed, pathIn } from '../write-head.js'
import { storeOf, told, toldWritten } from './told.js'

const frame = 64 * 1024
const largeFrame = 256 * 1024

/** What changes names, for the other side of one link, beside what writes bytes. */
export class Changer {
  readonly #stores: readonly LocalStore[]
  /** Those that can be given up, by mount and number. */
  readonly #running = new Map<string, AbortController>()
  readonly beginning: Table
  readonly goingOn: Table

  constructor(stores: readonly LocalStore[]) {
    this.#stores = stores
    this.beginning = {
      change: this.#entry(async (store, { head }) => ({
        known: told(await store.change(pathIn(head, 'path'), changeIn(head))),
      })),
      'make-directory': this.#entry(async (store, { head }) => ({
        known: told(await store.makeDirectory(pathIn(head, 'path'))),
      })),
      remove: this.#entry(async (store, { head }) => {
        const { ifMatch } = decodeWriteOptions(head)
        if (ifMatch === '*') throw malformed()
        await store.remove(pathIn(head, 'path'), ifMatch === undefined ? {} : { ifMatch })
        return {}
      }),
      copy: this.#mortal(async (store, head, signal) =>
        toldWritten(await store.copy(pathIn(head, 'from'), pathIn(head, 'to'), { ...transferIn(head), signal })),
      ),
      move: this.#mortal(async (store, head, signal) =>
        toldWritten(await store.move(pathIn(head, 'from'), pathIn(head, 'to'), { ...transferIn(head), signal })),
      ),
      'remove-tree': this.#mortal(async (store, head, signal) => {
        await store.removeTree(pathIn(head, 'path'), signal)
        return {}
      }),
      'move-tree': this.#entry(async (store, { head }) =>
        toldWritten(await store.moveTree(pathIn(head, 'from'), pathIn(head, 'to'))),
      ),
      'copy-tree': this.#mortal(async (store, head, signal) =>
        toldWritten(await store.copyTree(pathIn(head, 'from'), pathIn(head, 'to'), signal)),
      ),
      settle: this.#entry(async (store) => {
        await store.settle()
        return {}
      }),
      sweep: this.#entry(async (store) => ({ count: await store.sweep() })),
    }
    this.goingOn = {
      'give-up': {
        maxBytes: frame,
        handle: ({ head }) => {
          this.#running.get(keyIn(head))?.abort()
          return {}
        },
      },
    }
  }

  close(): void {
    for (const control of this.#running.values()) control.abort()
  }

  #entry(handle: (store: LocalStore, asked: Asked) => Promise<Head>): TableEntry {
    return {
      maxBytes: largeFrame,
      handle: async (asked) => ({ head: await handle(storeOf(this.#stores, asked.head), asked) }),
    }
  }

  /** What can be given up, and is answered only once it is over, so that nothing is left then. */
  #mortal(handle: (store: LocalStore, head: Head, signal: AbortSignal) => Promise<Head>): TableEntry {
    return this.#entry(async (store, { head }) => {
      const key = keyIn(head)
      if (this.#running.has(key)) throw malformed()
      const control = new AbortController()
      this.#running.set(key, control)
      try {
        return await handle(store, head, control.signal)
      } finally {
        this.#running.delete(key)
      }
    })
  }
}

function keyIn(head: Head): string {
  return `${countIn(head, 'mount')}:${countIn(head, 'op')}`
}

function transferIn({ overwrite, settle }: Head): Transfer {
  if (typeof overwrite !== 'boolean' || (settle !== 'now' && settle !== 'later' && settle !== undefined))
    throw malformed()
  return settle === undefined ? { overwrite } : { overwrite, settle }
}

function changeIn(head: Head): EntryChange {
  const { ifMatch, modified, executable } = decodeWriteOptions(head)
  if (ifMatch === '*') throw malformed()
  const { attributes } = head
  if (attributes !== undefined && (typeof attributes !== 'object' || attributes === null)) throw malformed()
  return {
    ...(ifMatch !== undefined && { ifMatch }),
    ...(modified !== undefined && { modified }),
    ...(executable !== undefined && { executable }),
    ...(attributes !== undefined && { attributes: attributes as Attributes }),
  }
}

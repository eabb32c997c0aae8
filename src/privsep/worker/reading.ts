import { closeSync, read } from 'node:fs'
import { promisify } from 'node:util'
import { Failure } from '../../core/failure.js'
import { isFileRange } from '../../core/http.js'
import { fileFailure } from '../../store/local/errors.js'
import type { LocalStore } from '../../store/local.js'
import type { Action, Content, OpenOptions } from '../../store/store.js'
import { rootPath, type StorePath } from '../../core/path.js'
import type { Answer, Asked, Head, Table } from '../wire/link.js'
import { encodeKnown } from '../known.js'
import { countIn, decodeWriteOptions, malformed, pathIn, textIn } from '../write-head.js'
import { storeOf, told } from './told.js'

const frame = 64 * 1024
const manyEtags = 256 * 1024

/** Given at a time, at most. */
export const readBytes = 256 * 1024

/** Files that may be read in messages at a time, over one link. */
const mostAtOnce = 1024

const readFile = promisify(read)

export interface ReaderOptions {
  readonly stores: readonly LocalStore[]
  /** Whether an open file can be given away, and may be: to read it must not wait for a program of this user. */
  readonly mayPass: (fd: number) => boolean
}

interface OpenFile {
  readonly fd: number
  reading: number
  isClosed: boolean
}

/** All that looks at files, for the other side of one link. */
export class Reader {
  readonly #options: ReaderOptions
  readonly #open = new Map<number, OpenFile>()
  #last = 0
  /** What begins something. */
  readonly beginning: Table
  /** What goes on with something that has begun. */
  readonly goingOn: Table

  constructor(options: ReaderOptions) {
    this.#options = options
    const { stores } = options
    this.beginning = {
      stat: {
        maxBytes: frame,
        async handle({ head }) {
          const entry = await storeOf(stores, head).stat(pathIn(head, 'path'))
          return { head: entry === undefined ? {} : { known: told(entry) } }
        },
      },
      open: { maxBytes: manyEtags, handle: (asked) => this.#begin(asked) },
      permits: {
        maxBytes: frame,
        async handle({ head }) {
          const permits = await storeOf(stores, head).permits(actionIn(head), pathIn(head, 'path'))
          return { head: { permits } }
        },
      },
      space: {
        maxBytes: frame,
        handle: async ({ head }) => ({ head: { space: await storeOf(stores, head).space(pathIn(head, 'path')) } }),
      },
    }
    this.goingOn = {
      read: { maxBytes: frame, handle: ({ head }) => this.#read(head) },
      close: {
        maxBytes: frame,
        handle: ({ head }) => {
          this.#close(countIn(head, 'file'))
          return {}
        },
      },
    }
  }

  close(): void {
    for (const file of [...this.#open.keys()]) this.#close(file)
  }

  #begin(asked: Asked): Answer | Promise<Answer> {
    const { head } = asked
    const store = storeOf(this.#options.stores, head)
    const path = pathIn(head, 'path')
    if (head.ifMatch !== undefined || head.ifNoneMatch !== undefined) return this.#openFor(asked, store, path)
    // Most files are small, and most of what one costs would be the promises.
    const small = store.readAtOnce(path)
    if (small === undefined) return this.#openFor(asked, store, path)
    return { head: { known: encodeKnown(small.known) }, bytes: small.bytes }
  }

  async #openFor(asked: Asked, store: LocalStore, path: StorePath): Promise<Answer> {
    // Without the signal: to make one costs more than to open a file, which is not given up half-way anyway.
    const content = await store.open(path, conditionsIn(asked.head))
    try {
      return this.#give(content, asked)
    } catch (error) {
      await content.close()
      throw error
    }
  }

  /** The bytes of a small file, or else the open file, or what it can be read by. */
  #give(content: Content, asked: Asked): Answer {
    const known = told(content.entry)
    const bytes = content.bytes()
    if (bytes instanceof Uint8Array) return { head: { known }, bytes }
    if (!isFileRange(bytes)) throw new Failure('unavailable', 'This file cannot be given on.')
    const { fd } = bytes
    if (this.#options.mayPass(fd)) return { head: { known }, descriptor: fd }
    const { signal } = asked
    if (signal.aborted || this.#open.size >= mostAtOnce) {
      bytes.close()
      throw new Failure('unavailable', 'Too many files are being read.', { retryAfterSeconds: 1 })
    }
    const file = ++this.#last
    this.#open.set(file, { fd, reading: 0, isClosed: false })
    // Nobody knows of it then.
    signal.addEventListener('abort', () => this.#close(file), { once: true })
    return { head: { known, file } }
  }

  async #read(head: Head): Promise<Answer> {
    const open = this.#open.get(countIn(head, 'file'))
    const [start, length] = [countIn(head, 'start'), countIn(head, 'length')]
    if (open === undefined || length > readBytes) throw malformed()
    open.reading += 1
    try {
      const { buffer, bytesRead } = await readFile(open.fd, Buffer.allocUnsafeSlow(length), 0, length, start)
      return { bytes: buffer.subarray(0, bytesRead) }
    } catch (error) {
      throw fileFailure(error, rootPath)
    } finally {
      open.reading -= 1
      letGo(open)
    }
  }

  #close(file: number): void {
    const open = this.#open.get(file)
    if (open === undefined) return
    this.#open.delete(file)
    open.isClosed = true
    letGo(open)
  }
}

function conditionsIn(head: Head): OpenOptions {
  const { ifMatch, ifNoneMatch } = decodeWriteOptions(head)
  if (ifMatch === '*' || ifNoneMatch === '*') throw malformed()
  return { ...(ifMatch !== undefined && { ifMatch }), ...(ifNoneMatch !== undefined && { ifNoneMatch }) }
}

/** Not under a read: its number could be another file's by then. */
function letGo({ fd, reading, isClosed }: OpenFile): void {
  if (isClosed && reading === 0) closeSync(fd)
}

const actions: readonly string[] = ['read', 'list', 'create', 'replace', 'delete'] satisfies readonly Action[]

function actionIn(head: Head): Action {
  const action = textIn(head, 'action')
  if (!actions.includes(action)) throw malformed()
  return action as Action
}

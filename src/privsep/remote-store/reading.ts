import { close as closeFile, closeSync, fstatSync } from 'node:fs'
import { Failure } from '../../core/failure.js'
import type { FileRange } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'
import type { Action, ByteRange, Content, Entry, OpenOptions, Space } from '../../store/store.js'
import type { Answered } from '../wire/link.js'
import { askPlainly, type Peer, type RemoteMount } from './peer.js'
import { entryNoted, entryTold } from './told-entry.js'

/** Asked for at a time, where open files cannot be passed; and so many times at once. */
const readBytes = 256 * 1024
const readsAtOnce = 2

/** What takes longer than this is not worth waiting for: looking at one file, or reading some of it. */
export const patience = { timeoutMilliseconds: 60_000 }

/** `Store.stat` by the process of a user. */
export async function statRemote(
  mount: RemoteMount,
  path: StorePath,
  signal?: AbortSignal,
): Promise<Entry | undefined> {
  const peer = await mount.connect()
  const { head } = await askPlainly(peer, 'stat', { mount: mount.mount, path }, { ...patience, signal })
  return head.known === undefined ? undefined : await entryNoted(mount, entryTold(peer, path, head.known))
}

/** `Store.permits` */
export async function permitsRemote(mount: RemoteMount, action: Action, path: StorePath): Promise<boolean> {
  const peer = await mount.connect()
  const { head } = await askPlainly(peer, 'permits', { mount: mount.mount, action, path }, patience)
  if (typeof head.permits !== 'boolean') throw peer.distrust('neither yes nor no')
  return head.permits
}

/** `Store.space` */
export async function spaceRemote(mount: RemoteMount, path: StorePath): Promise<Space> {
  const peer = await mount.connect()
  const { head } = await askPlainly(peer, 'space', { mount: mount.mount, path }, patience)
  const { used, available } = Object(head.space) as { readonly used?: unknown; readonly available?: unknown }
  if (!isRoom(used) || !isRoom(available)) throw peer.distrust('room that is no number')
  return { ...(used !== undefined && { used }), ...(available !== undefined && { available }) }
}

function isRoom(value: unknown): value is number | undefined {
  return value === undefined || (Number.isSafeInteger(value) && (value as number) >= 0)
}

/** `Store.open`: a small file comes whole; a longer one as an open file, or else in pieces while it is read. */
export async function openRemote(
  mount: RemoteMount,
  path: StorePath,
  { ifMatch, ifNoneMatch, signal }: OpenOptions = {},
): Promise<Content> {
  const connected = mount.connect()
  const peer = connected instanceof Promise ? await connected : connected
  const asked = { mount: mount.mount, path, ifMatch, ifNoneMatch }
  const answered = await peer.ask('open', asked, signal === undefined ? patience : { ...patience, signal })
  const opened = openedBy(peer, path, answered)
  try {
    const entry = mount.notes.glance(opened.told) ?? (await entryNoted(mount, opened.told))
    return opened.content(entry)
  } catch (error) {
    opened.drop()
    throw error
  }
}

interface Opened {
  readonly told: ReturnType<typeof entryTold>
  content(entry: Entry): Content
  drop(): void
}

function openedBy(peer: Peer, path: StorePath, { head, bytes, descriptor }: Answered): Opened {
  if (descriptor !== undefined) return passedFile(peer, path, head.known, descriptor)
  const told = entryTold(peer, path, head.known, 'file')
  const { size } = told.known
  if (head.file === undefined) {
    if (bytes.length !== size) throw peer.distrust(`${bytes.length} bytes of a file of ${size}`)
    return { told, content: (entry) => new OpenedContent(entry, new WholeBytes(bytes)), drop: () => undefined }
  }
  if (!Number.isSafeInteger(head.file) || bytes.length > 0) throw peer.distrust('an open file without a number')
  const file = new PulledFile(peer, path, head.file as number)
  return { told, content: (entry) => new OpenedContent(entry, file), drop: () => file.close() }
}

/** What the kernel knows of the open file counts; the channel has seen to it that it is a regular one, of a disk. */
function passedFile(peer: Peer, path: StorePath, known: unknown, fd: number): Opened {
  try {
    const told = entryTold(peer, path, known, 'file')
    if (fstatSync(fd).size < told.known.size)
      throw new Failure('conflict', 'The file has become shorter.', { path, retryAfterSeconds: 1 })
    const file = new PassedFile(fd)
    return { told, content: (entry) => new OpenedContent(entry, file), drop: () => file.close() }
  } catch (error) {
    closeFile(fd, () => undefined)
    throw error
  }
}

/** What the bytes of an open file come from; one of the two is called, once. */
interface Source {
  bytes(range: ByteRange): Uint8Array | FileRange | AsyncIterable<Uint8Array>
  close(): void
}

class OpenedContent implements Content {
  readonly entry: Entry
  readonly #source: Source
  #isOpen = true

  constructor(entry: Entry, source: Source) {
    this.entry = entry
    this.#source = source
  }

  bytes(range: ByteRange = { start: 0, end: this.entry.size }): Uint8Array | FileRange | AsyncIterable<Uint8Array> {
    const { path, size } = this.entry
    if (range.start < 0 || range.end < range.start || range.end > size)
      throw new Failure('bad-range', 'The range does not lie within the file.', { path, size })
    if (!this.#isOpen) throw new Failure('conflict', 'The bytes were taken already.', { path })
    this.#isOpen = false
    return this.#source.bytes(range)
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#source.close()
  }
}

class WholeBytes implements Source {
  readonly #bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  bytes({ start, end }: ByteRange): Uint8Array {
    return this.#bytes.subarray(start, end)
  }

  close(): void {
    return undefined
  }
}

class PassedFile implements Source {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }

  bytes({ start, end }: ByteRange): FileRange {
    const fd = this.#fd
    return { fd, start, end, close: () => closeSync(fd) }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** Open at the other side, and read by messages. */
class PulledFile implements Source {
  readonly #peer: Peer
  readonly #path: StorePath
  readonly #file: number
  readonly #letGo: () => void

  constructor(peer: Peer, path: StorePath, file: number) {
    this.#peer = peer
    this.#path = path
    this.#file = file
    this.#letGo = peer.hold()
  }

  bytes(range: ByteRange): AsyncIterable<Uint8Array> {
    const chunks = this.#chunks(range)
    let isBegun = false
    // A generator that was never begun does not run what is to be done in the end.
    const iterator: AsyncIterableIterator<Uint8Array> = {
      next: () => {
        isBegun = true
        return chunks.next()
      },
      return: async () => {
        if (!isBegun) this.close()
        isBegun = true
        return await chunks.return(undefined)
      },
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  close(): void {
    this.#peer.ask('close', { file: this.#file }).then(this.#letGo, this.#letGo)
  }

  async *#chunks({ start, end }: ByteRange): AsyncGenerator<Uint8Array, undefined> {
    const underWay: Promise<Buffer>[] = []
    let asked = start
    try {
      for (let at = start; at < end;) {
        for (; asked < end && underWay.length < readsAtOnce; asked += readBytes) {
          const piece = this.#read(asked, Math.min(readBytes, end - asked))
          piece.catch(() => undefined)
          underWay.push(piece)
        }
        const bytes = await underWay.shift()
        if (bytes === undefined) return undefined
        at += bytes.length
        yield bytes
      }
      return undefined
    } finally {
      this.close()
    }
  }

  /** All of it. */
  async #read(start: number, length: number): Promise<Buffer> {
    const { bytes } = await askPlainly(this.#peer, 'read', { file: this.#file, start, length }, patience)
    if (bytes.length > length) throw this.#peer.distrust(`${bytes.length} bytes in place of ${length}`)
    if (bytes.length < length)
      throw new Failure('unavailable', 'The file has become shorter.', { path: this.#path, retryAfterSeconds: 1 })
    return bytes
  }
}

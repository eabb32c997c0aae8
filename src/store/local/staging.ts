import { randomBytes } from 'node:crypto'
import {
  close,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fdatasync,
  ftruncate,
  write,
  writeSync,
  writev,
} from 'node:fs'
import { constants as system } from 'node:os'
import { promisify } from 'node:util'
import type { StorePath } from '../../core/path.js'
import { type LocalContext, lookInto, onDisk, required } from './context.js'
import { failureOf, fileFailure } from './errors.js'
import type { Known } from './facts.js'
import { smallBytes } from './pour.js'
import { uniqueStamp } from './stamp.js'

const { errno } = system
const writeSome = promisify(write)
const writeChunks = promisify(writev)
const truncate = promisify(ftruncate)
const sync = promisify(fdatasync)

/** The names made here, by `local-remove.ts` and by `local-copy-tree.ts`, which a sweep may remove. */
export const leftoverName = /^\.postern-(write|trash|tree)-[0-9a-z]{16,}$/

const own = randomBytes(8).toString('hex')
let count = 0

/** A reserved name that nothing has yet, as far as chance can promise. */
export function reservedName(purpose: 'write' | 'trash' | 'tree'): string {
  return `.postern-${purpose}-${own}${(count++).toString(36)}`
}

/** Larger files are synced by themselves, so that nobody has to wait for them. */
const batchedBytes = 1024 * 1024

/** A file that is there already. */
export interface Adopted {
  readonly directory: number
  readonly fd: number
  readonly name: string
  /** Where appended bytes go. */
  readonly position: number
}

/**
 * The new content of a file, under a reserved name beside its target until it is committed. Locked as long as it is
 * open, so that a sweep of another process knows that it is alive. `discard` must be called unless it was committed.
 */
export class Staging {
  readonly fd: number
  readonly name: string
  readonly #context: LocalContext
  readonly #path: StorePath
  /** In which it has that name; open for as long as this is. */
  readonly directory: number
  readonly #isOwn: boolean
  #position: number

  private constructor(context: LocalContext, path: StorePath, file: Adopted, isOwn: boolean) {
    this.#context = context
    this.#path = path
    this.directory = file.directory
    this.fd = file.fd
    this.name = file.name
    this.#position = file.position
    this.#isOwn = isOwn
  }

  /** Undefined where the directory has been removed meanwhile. */
  static create(context: LocalContext, path: StorePath, directory: number): Staging | undefined {
    const { calls } = context.beneath
    for (;;) {
      const name = reservedName('write')
      const fd = calls.openAt(directory, name, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o666)
      if (fd === -errno.EEXIST) continue
      if (fd === -errno.ENOENT) return undefined
      required(fd, path)
      calls.flock(fd, true)
      return new Staging(context, path, { directory, fd, name, position: 0 }, true)
    }
  }

  /** Takes over an open file that somebody else has made, and would keep where it is discarded. */
  static adopt(context: LocalContext, path: StorePath, file: Adopted): Staging {
    return new Staging(context, path, file, false)
  }

  /** Bytes up to the place where the next ones go. */
  get size(): number {
    return this.#position
  }

  /** Somebody else has written so many bytes to where the next ones go. */
  grow(bytes: number): void {
    this.#position += bytes
  }

  appendSync(chunks: readonly Uint8Array[]): void {
    try {
      for (const chunk of chunks)
        for (let put = 0; put < chunk.length;) {
          const written = writeSync(this.fd, chunk, put, chunk.length - put, this.#position)
          put += written
          this.#position += written
        }
    } catch (error) {
      throw fileFailure(error, this.#path)
    }
  }

  /** One call at a time. */
  async append(chunks: readonly Uint8Array[]): Promise<void> {
    const position = this.#position
    const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    this.#position += bytes
    await onDisk(this.#path, writeAt(this.fd, chunks, position))
  }

  /**
   * Appends bytes `[start, end)` of an open file like `copyBytes`.
   */
  async appendFrom(fd: number, start: number, end: number, goOn: () => void): Promise<void> {
    const at = this.#position
    this.#position += end - start
    await copyBytes(this.#context, { fd, start, end }, { fd: this.fd, at, path: this.#path }, goOn)
  }

  /** Permission bits; owner and group of the file that is replaced, as far as the system allows. */
  dress(mode: number, owner?: { readonly uid: number; readonly gid: number }): void {
    try {
      if (owner !== undefined) fchownSync(this.fd, owner.uid, owner.gid)
    } catch {
      // Who may not give files away keeps them.
    }
    try {
      fchmodSync(this.fd, mode & 0o777)
    } catch (error) {
      throw fileFailure(error, this.#path)
    }
  }

  /** Gives it its time of modification: the wished one (milliseconds) or now, unlike that of any other write. */
  stamp(wished: number | undefined): void {
    const { seconds, nanoseconds } = uniqueStamp(wished)
    required(this.#context.beneath.calls.touch(this.fd, seconds, nanoseconds), this.#path)
  }

  known(): Known {
    return lookInto(this.#context, this.fd, this.#path)
  }

  async sync(): Promise<void> {
    if (this.#position <= batchedBytes) await this.#context.fileSyncs.sync(this.fd, this.#path)
    else await onDisk(this.#path, sync(this.fd))
  }

  /** After it was committed. */
  close(): void {
    // To close what was just written can wait for a disk far away.
    if (this.#position > smallBytes) close(this.fd, () => undefined)
    else closeSync(this.fd)
  }

  discard(): void {
    if (this.#isOwn) this.#context.beneath.calls.unlinkAt(this.directory, this.name, false)
    this.close()
  }
}

/** Writes all of the chunks to a place in an open file. Rejects as `fs.write` does. */
export async function writeAt(fd: number, chunks: readonly Uint8Array[], position: number): Promise<void> {
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  let { bytesWritten: put } = await writeChunks(fd, [...chunks], position)
  if (put === bytes) return
  const rest = Buffer.concat(chunks)
  while (put < bytes) put += (await writeSome(fd, rest, put, bytes - put, position + put)).bytesWritten
}

/**
 * Copies bytes `[start, end)` of an open file to place `at` in another, which ends with them: shared where the disk can,
 * copied off the event loop else, holes kept. `goOn` is called between pieces of a large copy and may throw.
 */
export async function copyBytes(
  { beneath: { calls } }: LocalContext,
  { fd: from, start, end }: { readonly fd: number; readonly start: number; readonly end: number },
  { fd: to, at, path }: { readonly fd: number; readonly at: number; readonly path: StorePath },
  goOn: () => void,
): Promise<void> {
  const length = end - start
  if (at === 0 && start === 0 && length > smallBytes && calls.reflink(from, to) >= 0) {
    await onDisk(path, truncate(to, end))
    return
  }
  await onDisk(path, truncate(to, at + length))
  const piece = 64 * 1024 * 1024
  for (let done = 0; done < length;) {
    goOn()
    const copied = await calls.copyRange(from, start + done, to, at + done, Math.min(piece, length - done))
    if (copied < 0) throw failureOf(copied, path)
    // The source became shorter meanwhile: the new file would not be what was promised.
    if (copied === 0) throw failureOf(-errno.EIO, path)
    done += copied
  }
}

import { fdatasync, fsync } from 'node:fs'
import { promisify } from 'node:util'
import type { StorePath } from '../../core/path.js'
import type { Place } from '../beneath.js'
import { type LocalContext, lookInto, onDisk } from './context.js'
import { failureOf } from './errors.js'
import type { DirectoryCalls } from '../native.js'

const syncDescriptor = promisify(fsync)
const syncData = promisify(fdatasync)

/** Directories being synced, by device and inode, with the one sync that will follow for all who came too late. */
export type DirectorySyncs = Map<string, { running: Promise<void>; following?: Promise<void> }>

/**
 * Makes the names in a directory durable. One that may not be read cannot be synced: then the file that got the name is,
 * which takes the name along on the disks in use today.
 */
export async function syncPlace(context: LocalContext, place: Place, path: StorePath, file?: number): Promise<void> {
  if (!place.passOnly) await syncDirectory(context, place.directory, path)
  else if (file !== undefined) await onDisk(path, syncDescriptor(file))
  else await context.beneath.calls.syncFileSystem(place.directory)
}

/** Many writers in one directory share syncs: one that began before a name was given does not count for it, the next does. */
export async function syncDirectory(context: LocalContext, directory: number, path: StorePath): Promise<void> {
  const { device, inode } = lookInto(context, directory, path)
  const key = `${device}:${inode}`
  const { syncs } = context
  const current = syncs.get(key)
  if (current === undefined) await begin()
  else await (current.following ??= current.running.then(begin, begin))

  async function begin(): Promise<void> {
    const running = onDisk(path, syncDescriptor(directory))
    const mine = { running }
    syncs.set(key, mine)
    try {
      await running
    } finally {
      if (syncs.get(key) === mine) syncs.delete(key)
    }
  }
}

interface WaitingFile {
  readonly fd: number
  readonly path: StorePath
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Makes the bytes of small files durable, those that wait together in one trip to another thread: the disk writes what it
 * has to note of all of them at once, and ten writers wait little longer than one.
 */
export class FileSyncs {
  readonly #calls: DirectoryCalls
  #waiting: WaitingFile[] = []
  #isRunning = false

  constructor(calls: DirectoryCalls) {
    this.#calls = calls
  }

  /** The descriptor must stay open until then. Throws what writing can throw. */
  sync(fd: number, path: StorePath): Promise<void> {
    if (this.#calls.syncFiles === undefined) return onDisk(path, syncData(fd))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ fd, path, resolve, reject })
      if (!this.#isRunning) void this.#run()
    })
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, mostTogether)
      const results = await this.#calls.syncFiles?.(Int32Array.from(batch, ({ fd }) => fd))
      for (const [index, { fd, path, resolve, reject }] of batch.entries()) {
        // Not tried: each by itself then.
        if (results === undefined || typeof results === 'number') onDisk(path, syncData(fd)).then(resolve, reject)
        else {
          const result = results[index] ?? 0
          if (result < 0) reject(failureOf(result, path))
          else resolve()
        }
      }
    }
    this.#isRunning = false
  }
}

const mostTogether = 64

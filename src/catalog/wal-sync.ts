import { fdatasync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Makes the log of a database in WAL mode durable, off the event loop. */
export interface WalSync {
  /** Resolves once everything that was committed before the call survives a power cut. Rejects with the error of the system. */
  sync(): Promise<void>
  close(): Promise<void>
}

/**
 * Opens the log of a database that this process has open and has read. SQLite never locks the log itself, so that no
 * lock of the process is lost when this descriptor is closed (as it would be with the database or the WAL index). The
 * log stays the same file while anybody has the database open, and what a checkpoint takes out of it SQLite itself has
 * made durable in the database before, under synchronous NORMAL too.
 */
export async function openWalSync(databaseFile: string): Promise<WalSync> {
  return new OneWalSync(await open(`${databaseFile}-wal`, 'r'))
}

class OneWalSync implements WalSync {
  readonly #file: FileHandle
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined

  constructor(file: FileHandle) {
    this.#file = file
  }

  /** One that runs may have begun before the commit, so that all wait for the one behind it, together. */
  sync(): Promise<void> {
    if (this.#running === undefined) return this.#run()
    this.#next ??= this.#running.catch(() => undefined).then(() => this.#run())
    return this.#next
  }

  async close(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(() => undefined)
    await this.#file.close()
  }

  #run(): Promise<void> {
    this.#next = undefined
    const running = promisify(fdatasync)(this.#file.fd)
    this.#running = running
    const end = (): void => {
      if (this.#running === running) this.#running = undefined
    }
    running.then(end, end)
    return running
  }
}

import { statSync, watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'

/** How long files must be left alone before they are looked at, and for how long they are waited for at most. */
const quietMilliseconds = 100
const patienceMilliseconds = 2000
/** For what no event tells of: network disks, and links that lead into other directories. */
const pollMilliseconds = 5000

/** Looks after files that may be written, replaced, removed and made again. */
export class FileWatch {
  readonly #onChange: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #poll: NodeJS.Timeout
  #files: readonly string[] = []
  #seen = ''
  #timer: NodeJS.Timeout | undefined
  #firstEvent: number | undefined

  /** `onChange` is called once the files have been left alone for a moment. */
  constructor(onChange: () => void) {
    this.#onChange = onChange
    this.#poll = setInterval(() => this.#look(), pollMilliseconds).unref()
  }

  /** From now on these files, absolute paths. Their directories are watched, for editors put a new file in the place of the old. */
  watch(files: readonly string[]): void {
    this.#files = files
    this.#seen = this.#state()
    const directories = new Set(files.map((file) => dirname(file)))
    for (const [directory, watcher] of this.#watchers)
      if (!directories.has(directory)) {
        watcher.close()
        this.#watchers.delete(directory)
      }
    for (const directory of directories) if (!this.#watchers.has(directory)) this.#watchDirectory(directory)
  }

  /** As if they had just changed, where there are any. */
  soon(): void {
    if (this.#files.length > 0) this.#later()
  }

  close(): void {
    clearInterval(this.#poll)
    clearTimeout(this.#timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  #watchDirectory(directory: string): void {
    try {
      const watcher = watch(directory, { persistent: false }, (_event, name) => {
        // The files may be links to others of this directory, so what else happens in it counts if it changes them.
        if (name === null || this.#isNamed(directory, name) || this.#state() !== this.#seen) this.#later()
      })
      // Where a directory cannot be watched any more, polling goes on.
      watcher.on('error', () => {
        watcher.close()
        this.#watchers.delete(directory)
      })
      this.#watchers.set(directory, watcher)
    } catch {
      // The system has no watches left, or the directory is not there: polling goes on.
    }
  }

  #isNamed(directory: string, name: string): boolean {
    return this.#files.some((file) => dirname(file) === directory && basename(file) === name)
  }

  #look(): void {
    if (this.#timer === undefined && this.#state() !== this.#seen) this.#later()
  }

  #later(): void {
    const now = performance.now()
    this.#firstEvent ??= now
    clearTimeout(this.#timer)
    const left = this.#firstEvent + patienceMilliseconds - now
    this.#timer = setTimeout(() => this.#tell(), Math.max(0, Math.min(quietMilliseconds, left))).unref()
  }

  #tell(): void {
    this.#timer = undefined
    this.#firstEvent = undefined
    this.#seen = this.#state()
    this.#onChange()
  }

  #state(): string {
    return this.#files.map(stateOf).join(' ')
  }
}

/** What changes with a file; one that cannot be looked at, for whatever reason, is as good as none. */
function stateOf(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch {
    return '-'
  }
}

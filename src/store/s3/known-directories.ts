import type { StorePath } from '../../core/path.js'

/** Tells all who share a bucket that there is a directory more or less. */
export interface DirectoryChanges {
  /** Another text after every change that any of them has told of. */
  current(): Promise<string>
  /** Resolves when all the others will see that. */
  tell(): Promise<void>
}

/** Among those who share this very object. */
export function localChanges(): DirectoryChanges {
  let count = 0
  return {
    current: async () => String(count),
    async tell() {
      count++
    },
  }
}

interface Known {
  /** Of the clock that was given. */
  readonly until: number
  asked: number
  listing: Promise<void> | undefined
  names: ReadonlySet<string> | undefined
}

/** What others than Postern change is noticed after that time. */
const knownMilliseconds = 1000
const mostKnown = 1000
/** Who asks so often in that time is worth a listing. */
const oftenAsked = 4

/**
 * Directories that were seen a moment ago, so that who puts many files into one need not look each time whether it is still
 * there, and whether the name is free. What Postern itself changes about directories, here or elsewhere, is seen at once.
 */
export class KnownDirectories {
  readonly #changes: DirectoryChanges
  readonly #now: () => number
  readonly #known = new Map<StorePath, Known>()
  #mark = ''

  constructor(changes: DirectoryChanges, now: () => number = () => performance.now()) {
    this.#changes = changes
    this.#now = now
  }

  /** Whether it is there, by what is known or else by `look`, which is asked after all that was changed before this call. */
  async has(path: StorePath, look: () => Promise<boolean>): Promise<boolean> {
    const mark = await this.#refresh()
    if (this.#live(path) !== undefined) return true
    const until = this.#now() + knownMilliseconds
    if (!(await look())) return false
    if (this.#mark === mark) this.#add(path, until)
    return true
  }

  /**
   * All names in it, where it was seen a moment ago, is asked for often, and `list` gives them; else undefined. A file may be
   * there that is not among them, and the other way round; a directory that Postern has made is among them.
   */
  async names(
    path: StorePath,
    list: () => Promise<ReadonlySet<string> | undefined>,
  ): Promise<ReadonlySet<string> | undefined> {
    const mark = await this.#refresh()
    const known = this.#live(path) ?? (path === '/' ? this.#add(path, this.#now() + knownMilliseconds) : undefined)
    if (known === undefined || ++known.asked < oftenAsked) return undefined
    known.listing ??= this.#learn(known, mark, list)
    await known.listing
    return known.names
  }

  /** To be called when a directory was made or is gone, before anybody is told so. */
  async changed(): Promise<void> {
    this.#known.clear()
    await this.#changes.tell()
  }

  /** Keeps what was listed, unless a directory has changed meanwhile. */
  async #learn(known: Known, mark: string, list: () => Promise<ReadonlySet<string> | undefined>): Promise<void> {
    try {
      const names = await list()
      if ((await this.#refresh()) === mark) known.names = names
    } catch {
      // Whoever asked looks for himself, and is told what is wrong.
    }
  }

  async #refresh(): Promise<string> {
    const mark = await this.#changes.current()
    if (mark !== this.#mark) {
      this.#known.clear()
      this.#mark = mark
    }
    return mark
  }

  #live(path: StorePath): Known | undefined {
    const known = this.#known.get(path)
    return known !== undefined && known.until > this.#now() ? known : undefined
  }

  #add(path: StorePath, until: number): Known {
    if (this.#known.size >= mostKnown) this.#known.clear()
    const known: Known = { until, asked: 0, listing: undefined, names: undefined }
    this.#known.set(path, known)
    return known
  }
}

import { closeSync, constants, openSync, statSync } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../core/failure.js'
import { ancestorsOf, nameOf, parentOf, rootPath, segmentsOf, type StorePath } from '../core/path.js'
import { failureOf } from './local/errors.js'
import { type DirectoryCalls, directoryKind, fact, factsLength, fileKind, linkKind, loadNative } from './native.js'
import { procCalls } from './proc-calls.js'
import { noParent, notDirectory } from './refusals.js'

const { errno } = system

/** Enough to look at and go through a directory, not to read it: opens those that may only be passed through. */
export const pathOnly = process.platform === 'linux' ? 0o10000000 : constants.O_RDONLY
const directoryOnly = constants.O_DIRECTORY

/** Symbolic links followed in one path before it counts as a loop. */
const linkLimit = 40

/** An open directory and the name in it; the descriptor must be closed. */
export interface Place {
  readonly directory: number
  readonly name: string
  /** The directory could only be opened to pass through: it can neither be listed nor synced. */
  readonly passOnly: boolean
}

export interface BeneathOptions {
  /** Absolute. */
  readonly root: string
  /** `inside` follows symbolic links that stay below the root; else they are in the way. */
  readonly symlinks: 'absent' | 'inside'
  /** False does without the addon. */
  readonly native?: boolean
}

/**
 * Finds files below a root directory without ever looking first and opening later: each step is taken from a directory
 * that is already open, and no step follows a symbolic link by the system's hand. Links inside (`symlinks: 'inside'`)
 * are resolved here, to a path that is then walked just as strictly. Descriptors handed out must be closed.
 */
export class Beneath {
  readonly calls: DirectoryCalls
  /** The addon is in use. */
  readonly isNative: boolean
  readonly followsLinks: boolean
  readonly #path: string
  readonly #inOneCall: boolean
  readonly #facts = new Float64Array(factsLength)
  #root: number
  #looked = performance.now()

  /** Throws `unavailable` where the root cannot be opened, `unsupported` on a system that offers no safe way. */
  constructor({ root, symlinks, native }: BeneathOptions) {
    const addon = native === false ? undefined : loadNative()
    const calls = addon ?? procCalls()
    if (calls === undefined)
      throw new Failure(
        'unsupported',
        'Serving files here needs the native part: install a C compiler and run `npm run build`.',
      )
    this.calls = calls
    this.isNative = addon !== undefined
    this.followsLinks = symlinks === 'inside'
    this.#path = root
    this.#root = openRoot(root)
    const probe = calls.openBeneath(this.#root, '.', pathOnly | directoryOnly)
    this.#inOneCall = probe >= 0
    if (probe >= 0) closeSync(probe)
  }

  /** Nothing can be opened afterwards. */
  close(): void {
    closeSync(this.#root)
    this.#root = -1
  }

  /** The root as it was configured. */
  get rootName(): string {
    return this.#path
  }

  /** The root's descriptor, to be used at once and not kept. */
  get root(): number {
    return this.#root
  }

  /** Facts of what a path names, or a negative errno. A link at its end is followed only where links are. */
  stat(path: StorePath, facts: Float64Array): number {
    if (this.#root === -1) return -errno.EBADF
    this.#look()
    const result = this.#statOnce(path, facts)
    return isMiss(result) && this.#renewed() ? this.#statOnce(path, facts) : result
  }

  /** Reads a whole small file by its plain path; a negative errno is no verdict, and `open` is to be asked. */
  readSmall(path: StorePath, facts: Float64Array, buffer: Buffer): number {
    if (this.#root === -1 || this.calls.readSmall === undefined) return -errno.ENOSYS
    this.#look()
    return this.calls.readSmall(this.#root, path.slice(1), facts, buffer)
  }

  /** Opens a file or directory, or gives a negative errno. */
  open(path: StorePath, flags: number): number {
    if (this.#root === -1) return -errno.EBADF
    this.#look()
    const result = this.#openOnce(path, flags)
    return isMiss(result) && this.#renewed() ? this.#openOnce(path, flags) : result
  }

  /**
   * Opens the directory that holds a path, or gives a negative errno. The name is the one on disk, where that is written
   * in another Unicode form. A link at the end is followed only where links are and `follow` is set.
   */
  place(path: StorePath, follow: boolean): Place | number {
    const parent = parentOf(path)
    let directory = this.open(parent, constants.O_RDONLY | directoryOnly)
    let passOnly = false
    if (directory === -errno.EACCES && pathOnly !== constants.O_RDONLY) {
      directory = this.open(parent, pathOnly | directoryOnly)
      passOnly = true
    }
    if (directory < 0) return directory
    const name = nameOf(path)
    const plain = isAscii(name)
    if (plain && !(follow && this.followsLinks)) return { directory, name, passOnly }
    const result = this.calls.statAt(directory, name, this.#facts)
    if (result === -errno.ENOENT && !plain)
      return { directory, name: this.#otherForm(directory, name) ?? name, passOnly }
    if (result < 0 || !follow || !this.followsLinks || this.#facts[fact.kind] !== linkKind)
      return { directory, name, passOnly }
    closeSync(directory)
    const located = this.#locate(path)
    if (located === undefined) return -errno.ELOOP
    const slash = located.lastIndexOf('/')
    const opened = this.#walk(located.slice(0, Math.max(slash, 0)), constants.O_RDONLY | directoryOnly)
    return opened < 0 ? opened : { directory: opened, name: located.slice(slash + 1), passOnly: false }
  }

  /**
   * Why nothing could be made at a path whose parent could not be opened: `no-parent`, `not-directory`, `denied`, or
   * `unavailable` where the root itself is gone. To be thrown.
   */
  blame(path: StorePath, code: number): Failure {
    if (isMiss(code) && this.#renewed())
      return new Failure('unavailable', 'The root of the files was replaced.', { path, retryAfterSeconds: 1 })
    if (![errno.ENOENT, errno.ENOTDIR, errno.ELOOP].includes(-code)) return failureOf(code, path)
    for (const ancestor of [...ancestorsOf(path)].reverse()) {
      const result = this.stat(ancestor, this.#facts)
      if (result < 0) break
      const kind = this.#facts[fact.kind]
      if (kind === fileKind) return notDirectory(ancestor)
      if (kind !== directoryKind)
        return new Failure('denied', 'Something that is not served is in the way.', { path: ancestor })
    }
    return noParent(parentOf(path))
  }

  #statOnce(path: StorePath, facts: Float64Array): number {
    const result = this.#statStrictly(path, facts)
    if (result >= 0 && !(this.followsLinks && facts[fact.kind] === linkKind)) return result
    if (!this.#mayLieElsewhere(path, result)) return result
    const located = this.#locate(path)
    return located === undefined ? result : this.#statStrictly(located, facts)
  }

  #statStrictly(path: string, facts: Float64Array): number {
    const relative = path.startsWith('/') ? path.slice(1) : path
    if (relative === '') {
      const result = this.calls.fstat(this.#root, facts)
      return result >= 0 && facts[fact.links] === 0 ? -errno.ENOENT : result
    }
    const slash = relative.lastIndexOf('/')
    if (slash === -1) return this.calls.statAt(this.#root, relative, facts)
    const directory = this.#walk(relative.slice(0, slash), pathOnly | directoryOnly)
    if (directory < 0) return directory
    const result = this.calls.statAt(directory, relative.slice(slash + 1), facts)
    closeSync(directory)
    return result
  }

  #openOnce(path: StorePath, flags: number): number {
    const fd = this.#walk(path.slice(1), flags)
    if (fd >= 0 || !this.#mayLieElsewhere(path, fd)) return fd
    const located = this.#locate(path)
    return located === undefined ? fd : this.#walk(located, flags)
  }

  #mayLieElsewhere(path: StorePath, result: number): boolean {
    if (result < 0 && ![errno.ENOENT, errno.ELOOP, errno.ENOTDIR].includes(-result)) return false
    return this.followsLinks || !isAscii(path)
  }

  /** Opens a relative path no part of which may be a symbolic link. */
  #walk(relative: string, flags: number): number {
    if (relative === '') return this.calls.openAt(this.#root, '.', flags, 0)
    if (!relative.includes('/')) return this.calls.openAt(this.#root, relative, flags, 0)
    if (this.#inOneCall) return this.calls.openBeneath(this.#root, relative, flags | constants.O_NOFOLLOW)
    const names = relative.split('/')
    const last = names.pop() ?? ''
    let at = this.#root
    try {
      for (const name of names) {
        const next = this.calls.openAt(at, name, pathOnly | directoryOnly, 0)
        if (at !== this.#root) closeSync(at)
        at = next
        if (next < 0) return next
      }
      return this.calls.openAt(at, last, flags, 0)
    } finally {
      if (at >= 0 && at !== this.#root) closeSync(at)
    }
  }

  /** The path on disk, without links and in the disk's own Unicode forms; its last name need not exist. */
  #locate(path: string): string | undefined {
    const todo = segmentsOf(path as StorePath).toReversed()
    const open = [this.#root]
    const names: string[] = []
    let links = 0
    try {
      for (let segment = todo.pop(); segment !== undefined; segment = todo.pop()) {
        if (segment === '' || segment === '.') continue
        const directory = open[names.length]
        if (directory === undefined) return undefined
        if (segment === '..') {
          if (names.length === 0) return undefined
          names.pop()
          closeSync(open.pop() ?? -1)
          continue
        }
        let name = segment
        let result = this.calls.statAt(directory, name, this.#facts)
        if (result === -errno.ENOENT) {
          const other = this.#otherForm(directory, segment)
          if (other === undefined) return todo.length === 0 ? [...names, segment].join('/') : undefined
          name = other
          result = this.calls.statAt(directory, name, this.#facts)
        }
        if (result < 0) return undefined
        if (this.#facts[fact.kind] === linkKind && this.followsLinks) {
          let target = this.calls.readlinkAt(directory, name)
          if (typeof target === 'number' || ++links > linkLimit) return undefined
          if (target.startsWith('/')) {
            if (target !== this.#path && !target.startsWith(this.#path + '/')) return undefined
            target = target.slice(this.#path.length)
            for (const fd of open.splice(1)) closeSync(fd)
            names.length = 0
          }
          todo.push(...target.split('/').reverse())
          continue
        }
        names.push(name)
        if (todo.length === 0) break
        const next = this.calls.openAt(directory, name, pathOnly | directoryOnly, 0)
        if (next < 0) return undefined
        open.push(next)
      }
      return names.join('/')
    } finally {
      for (const fd of open.slice(1)) closeSync(fd)
    }
  }

  /** The name that means the same in another Unicode form and is there. */
  #otherForm(directory: number, name: string): string | undefined {
    if (isAscii(name)) return undefined
    const decomposed = name.normalize('NFD')
    if (decomposed === name) return undefined
    if (this.calls.statAt(directory, decomposed, this.#facts) >= 0) return decomposed
    // With a single mark there is no half-decomposed form, and a miss need not cost a listing.
    if (decomposed.length - name.length < 2) return undefined
    const listed = this.calls.openAt(directory, '.', constants.O_RDONLY | directoryOnly, 0)
    if (listed < 0) return undefined
    try {
      for (let first = true; ; first = false) {
        const found = this.calls.readdir(listed, first)
        if (typeof found === 'number' || found === '') return undefined
        const names = found.split('/').slice(0, -1)
        for (const each of names) if (each.normalize('NFC') === name) return each
      }
    } finally {
      closeSync(listed)
    }
  }

  /** Notices within moments that the root was renamed away, for a descriptor goes on leading to it. */
  #look(): void {
    const now = performance.now()
    if (now - this.#looked < lookMilliseconds) return
    this.#renewed()
    this.#looked = now
  }

  /** Whether the root is another directory now, which is then taken. Throws `unavailable` where there is none. */
  #renewed(): boolean {
    let found
    try {
      found = statSync(this.#path)
    } catch (cause) {
      throw unreachable(cause)
    }
    const mine = new Float64Array(factsLength)
    const low = this.calls.fstat(this.#root, mine) < 0 ? -1 : (mine[fact.inodeLow] ?? 0)
    const high = mine[fact.inodeHigh] ?? 0
    if (high * 2 ** 32 + low === found.ino && mine[fact.device] === found.dev) return false
    const next = openRoot(this.#path)
    closeSync(this.#root)
    this.#root = next
    return true
  }
}

/** How long a look at the root's own name holds. */
const lookMilliseconds = 100

function openRoot(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | directoryOnly)
  } catch (cause) {
    throw unreachable(cause)
  }
}

function unreachable(cause: unknown): Failure {
  return new Failure('unavailable', 'The root of the files cannot be reached.', {
    path: rootPath,
    retryAfterSeconds: 10,
    cause,
  })
}

function isMiss(result: number): boolean {
  return result === -errno.ENOENT || result === -errno.ESTALE
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text)
}

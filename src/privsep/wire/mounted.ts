import { closeSync, openSync, readFileSync } from 'node:fs'
import { fileFact, fileFactsLength } from '../../store/native.js'
import type { ProcessCalls } from '../../store/native.js'

/** What is mounted, by the numbers that the kernel gives to mounts. */
export interface Mounted {
  /** Such as `ext4`; undefined where this process sees no such mount. */
  kindOf(mount: number): string | undefined
  /**
   * Whether files there hold bytes, and neither a program of anybody nor another machine can keep whoever reads them waiting.
   */
  isPlain(mount: number): boolean
  /** The same for an open file of this process: whether another one will take it. */
  mayTravel(descriptor: number): boolean
  close(): void
}

/**
 * Reads the table of this process (proc_pid_mountinfo(5)) when it is asked and the kernel says that it is another one than
 * before: a mount may have the number of one that is gone.
 */
export function openMounted(calls: ProcessCalls, table = '/proc/self/mountinfo'): Mounted {
  return new MountTable(calls, table, openSync(table, 'r'))
}

/**
 * Kinds that answer out of this machine. Another may ask a program of some user (FUSE), or a server that is gone (NFS): then all
 * of a process that reads waits, and everybody with it.
 */
const diskKinds =
  /^(?:ext[234]|xfs|btrfs|bcachefs|f2fs|zfs|jfs|reiserfs|nilfs2|tmpfs|ramfs|rootfs|devtmpfs|overlay|aufs|squashfs|erofs|iso9660|udf|vfat|msdos|exfat|ntfs3?|hfsplus|minix|ufs)$/

class MountTable implements Mounted {
  readonly #calls: ProcessCalls
  readonly #table: string
  readonly #watched: number
  readonly #facts = new Float64Array(fileFactsLength)
  #kinds: ReadonlyMap<number, string> | undefined

  constructor(calls: ProcessCalls, table: string, watched: number) {
    this.#calls = calls
    this.#table = table
    this.#watched = watched
  }

  kindOf(mount: number): string | undefined {
    if (this.#calls.mountsChanged(this.#watched) !== 0) this.#kinds = undefined
    this.#kinds ??= parseMounts(readFileSync(this.#table, 'utf8'))
    return this.#kinds.get(mount)
  }

  isPlain(mount: number): boolean {
    const kind = this.kindOf(mount)
    return kind !== undefined && diskKinds.test(kind)
  }

  mayTravel(descriptor: number): boolean {
    if (this.#calls.openFacts(descriptor, this.#facts) !== 0) return false
    return this.isPlain(this.#facts[fileFact.mount] ?? -1)
  }

  close(): void {
    closeSync(this.#watched)
  }
}

/** The kinds of all mounts by number; lines that are none are left out. */
export function parseMounts(table: string): ReadonlyMap<number, string> {
  const kinds = new Map<number, string>()
  for (const line of table.split('\n')) {
    // Spaces in paths are written in octal; how many fields stand before the lone hyphen is not fixed.
    const [, number, kind] = /^(\d{1,15}) .*? - (\S+) /.exec(line) ?? []
    if (number !== undefined && kind !== undefined) kinds.set(Number(number), kind)
  }
  return kinds
}

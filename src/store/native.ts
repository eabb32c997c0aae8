import { createRequire } from 'node:module'

/**
 * System calls relative to an open directory. Names are single components; none of these follows a symbolic link. Where
 * a number comes back, a negative one is an errno as Node has it (`-2` for ENOENT).
 */
export interface DirectoryCalls {
  /** Opens with O_NOFOLLOW. */
  openAt(directory: number, name: string, flags: number, mode: number): number
  /** Opens a relative path of several components, none of which may be a symbolic link; ENOSYS where there is no such call. */
  openBeneath(root: number, path: string, flags: number): number
  statAt(directory: number, name: string, facts: Float64Array): number
  fstat(fd: number, facts: Float64Array): number
  /** Facts of `names[from]` to `names[from + count - 1]`, `factsLength` numbers each; kind 0 for those that cannot be looked at. */
  statMany(directory: number, names: readonly string[], from: number, count: number, facts: Float64Array): number
  /**
   * The next names, a slash behind each, then a digit for the kind of each, 0 where only `statAt` can tell. `first` begins;
   * then called until nothing comes.
   */
  readdir(fd: number, first: boolean): string | number
  readlinkAt(directory: number, name: string): string | number
  mkdirAt(directory: number, name: string, mode: number): number
  unlinkAt(directory: number, name: string, isDirectory: boolean): number
  /** With `noReplace` EEXIST where the target is there. */
  renameAt(from: number, name: string, to: number, newName: string, noReplace: boolean): number
  linkAt(from: number, name: string, to: number, newName: string): number
  /** access(2) by effective ids; `mode` as in `fs.constants`. */
  accessAt(directory: number, name: string, mode: number): number
  /** Takes (EWOULDBLOCK where another has it) or drops the exclusive lock of an open file. */
  flock(fd: number, take: boolean): number
  /** Sets the time of modification. */
  touch(fd: number, seconds: number, nanoseconds: number): number
  /** Makes an empty file share all bytes of another; fails where the filesystem cannot. */
  reflink(from: number, to: number): number
  /**
   * Copies a whole file of at most 64 KiB to a name that is free, with its permission bits, modified then; `facts` tell of
   * the source. Gives its size; EFBIG for a larger one, ENXIO for what is no file, ESTALE where the directory of the copy
   * is gone. A copy that fails half-way stays.
   */
  copySmall(
    from: number,
    name: string,
    to: number,
    newName: string,
    seconds: number,
    nanoseconds: number,
    facts: Float64Array,
  ): number
  /** Copies bytes off the event loop, keeping holes; gives how many, fewer at the end of the source. */
  copyRange(from: number, start: number, to: number, at: number, length: number): Promise<number>
  /** Makes all of a filesystem durable, off the event loop; ENOSYS where that cannot be done. */
  syncFileSystem(fd: number): Promise<number>
  /** Makes the bytes of several files durable in one trip off the event loop; a result for each, 0 or a negative errno. A number says that none was tried. */
  syncFiles?(files: Int32Array): Promise<Int32Array> | number
  /**
   * Reads a whole file into a buffer that it fits, by a relative path none of which is a symbolic link; `facts` tell of
   * what was read. Gives its size. A negative errno is no verdict: the longer way finds out what is wrong.
   */
  readSmall?(root: number, path: string, facts: Float64Array, buffer: Buffer): number
  /**
   * Makes a file of these bytes, modified then, under the name `staged`, locked, and renames it: over the file that
   * `replaced` tells of, whose permission bits and owner it gets, or without one to a name that must be free. `facts` tell
   * of the new file as it was before. After a negative errno nothing was done.
   */
  putSmall?(
    directory: number,
    staged: string,
    name: string,
    bytes: Buffer,
    seconds: number,
    nanoseconds: number,
    replaced: Float64Array | undefined,
    facts: Float64Array,
  ): number
}

/** What else the addon can do, for which there is no slower way. */
export interface MemoryCalls {
  /**
   * The first bytes (at most 4,096) of a file that this process has mapped for writing already, as they are at any time;
   * to be read only. A negative errno where there is no such mapping or the system cannot do it.
   */
  viewMapping(path: string, length: number): ArrayBuffer | number
}

/**
 * Logins by PAM and the accounts of the system, on Linux. All but `pamLoad` may block, and run what others have written:
 * for a process that is made for it.
 */
export interface AccountCalls {
  /** 0, or ENOSYS where there is no PAM. */
  pamLoad(): number
  /**
   * The name that PAM has for the user; or, where it refuses, the code of Linux-PAM, or'ed with 256 where the account and
   * not the password was wrong, and with 512 where a module has asked for something else than one password. ENOSYS, EINVAL.
   * The address may be empty. The password is zero afterwards.
   */
  pamLogin(service: string, user: string, password: Uint8Array, address: string): string | number
  /** Undefined where there is no such name, an errno where that cannot be found out. */
  account(name: string): SystemAccount | number | undefined
  /** Whoever reads from this descriptor waits from now on, in every process that has it. */
  setBlocking(descriptor: number): number
}

/** Open files on their way between two processes, on Linux, and how a process is left alone. None of these waits for another program. */
export interface ProcessCalls {
  /** Connects to a socket with a name in the filesystem, and gives a descriptor that is not blocking. */
  connectUnix(path: string): number
  /** One message to a datagram socket with a name in the filesystem, or with an abstract one that is written with `@`. */
  sendDatagram(path: string, message: string): number
  /** A TCP socket that listens and from which this process accepts nothing, closed in programs that it runs; the address in numbers, `::` for all of both kinds. */
  listenTcp(address: string, port: number): number
  /** The port of such a socket. */
  portOf(descriptor: number): number
  /** Sends a copy of an open file with a number; EAGAIN while the other side has not taken many that were sent before. */
  sendDescriptor(channel: number, descriptor: number, number: number): number
  /**
   * The open file that comes next, with its facts, closed in programs that this one runs; EAGAIN where none is there,
   * ECONNRESET where none will come. Closes what it does not give: EPROTO where not exactly one has come, EINVAL for anything
   * but a regular file.
   */
  receiveDescriptor(channel: number, facts: Float64Array): number
  /** Facts of an open file of this process. */
  openFacts(descriptor: number, facts: Float64Array): number
  /** Closes as soon as the filesystem lets it, while nobody waits. */
  closeDetached(descriptor: number): number
  /** Of an open `/proc/self/mountinfo`: 0 where nothing was mounted or unmounted since it was opened or last asked about. */
  mountsChanged(table: number): number
  /**
   * Lets nobody look into this process, keeps it from leaving an image of its memory, and ends it with its parent; programs
   * that it runs do not get these descriptors.
   */
  seclude(...descriptors: readonly number[]): number
}

/** Places in the facts of an open file: the number it came with, its type and mode, the number of its mount (-1 where the kernel does not say), its size, how it was opened. */
export const fileFact = { number: 0, mode: 1, mount: 2, size: 3, flags: 4 } as const

export const fileFactsLength = 5

/** What the system knows of a name. What only the shadow file says is false to those who may not read it. */
export interface SystemAccount {
  /** As the system writes it. */
  readonly name: string
  readonly uid: number
  readonly gid: number
  /** All groups by name, or by number where they have none. */
  readonly groups: readonly string[]
  /** The same, all by number; the primary one is among them. */
  readonly groupIds: readonly number[]
  /** As the system has it; may be empty. */
  readonly home: string
  /** Other bytes when the account or its password has changed; secret, to be wiped. */
  readonly state: Uint8Array
  readonly locked: boolean
  readonly expired: boolean
  readonly passwordExpired: boolean
}

/** Everything that the addon can do. */
export type NativeCalls = DirectoryCalls & MemoryCalls & AccountCalls & ProcessCalls

/** What is known of a file, as `statAt` and its like fill it in. */
export const factsLength = 16

/** Places in the facts. Times are whole seconds and the nanoseconds beyond; birth is 0 where it is not known. */
export const fact = {
  kind: 0,
  mode: 1,
  size: 2,
  modifiedSeconds: 3,
  modifiedNanoseconds: 4,
  changedSeconds: 5,
  changedNanoseconds: 6,
  bornSeconds: 7,
  bornNanoseconds: 8,
  inodeHigh: 9,
  inodeLow: 10,
  device: 11,
  links: 12,
  uid: 13,
  gid: 14,
} as const

export const fileKind = 1
export const directoryKind = 2
export const linkKind = 3
export const otherKind = 4

/** The addon as `scripts/build-native.mjs` builds it; undefined where it was not built or is of another version. */
export function loadNative(): NativeCalls | undefined {
  const require = createRequire(import.meta.url)
  try {
    const addon = require(`../../native/postern-${process.platform}-${process.arch}.node`) as NativeCalls & {
      readonly abi: number
    }
    return addon.abi === nativeAbi ? addon : undefined
  } catch {
    return undefined
  }
}

/** Raised together with `ABI` in native/postern.c. */
const nativeAbi = 12

import { execFile } from 'node:child_process'
import {
  accessSync,
  type BigIntStats,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  read,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmdirSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { constants as system } from 'node:os'
import { promisify } from 'node:util'
import { type DirectoryCalls, directoryKind, fact, factsLength, fileKind, linkKind, otherKind } from './native.js'

/**
 * The slower way without the addon, on Linux: `/proc/self/fd/N/name` names a member of an open directory wherever that
 * was moved to. What it cannot do: lock files between processes (`flock` always succeeds), rename directories without
 * replacing in one step (looked at first, in the same synchronous call), sync a whole filesystem. Undefined where there
 * is no such /proc.
 */
export function procCalls(): DirectoryCalls | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const fd = openSync('/proc/self/fd', constants.O_RDONLY | constants.O_DIRECTORY)
    try {
      lstatSync(`/proc/self/fd/${fd}/.`)
    } finally {
      closeSync(fd)
    }
  } catch {
    return undefined
  }
  return calls
}

/** Whether `syncFileSystem` has a program to do it. */
export function canSyncFileSystem(): boolean {
  return syncPrograms.some((path) => existsSync(path))
}

const syncPrograms = ['/bin/sync', '/usr/bin/sync']
const run = promisify(execFile)
const read_ = promisify(read)
const write_ = promisify(write)

/** Reused by every small copy: those never wait in between. */
const smallCopy = Buffer.allocUnsafeSlow(64 * 1024)

const calls: DirectoryCalls = {
  openAt: (directory, name, flags, mode) =>
    attempt(() => openSync(member(directory, name), flags | constants.O_NOFOLLOW, mode)),
  openBeneath: () => -system.errno.ENOSYS,
  statAt: (directory, name, facts) =>
    attempt(() => tell(lstatSync(member(directory, name), { bigint: true }), facts, 0)),
  fstat: (fd, facts) => attempt(() => tell(fstatSync(fd, { bigint: true }), facts, 0)),
  statMany(directory, names, from, count, facts) {
    for (let i = 0; i < count; i++) {
      const name = names[from + i] ?? ''
      const result = attempt(() => tell(lstatSync(member(directory, name), { bigint: true }), facts, i * factsLength))
      if (result < 0) facts[i * factsLength] = 0
    }
    return count
  },
  readdir(fd, first) {
    if (!first) return ''
    let names = ''
    let kinds = ''
    const result = attempt(() => {
      for (const entry of readdirSync(`/proc/self/fd/${fd}`, { withFileTypes: true })) {
        const kind = entry.isFile()
          ? fileKind
          : entry.isDirectory()
            ? directoryKind
            : entry.isSymbolicLink()
              ? linkKind
              : 0
        names += entry.name + '/'
        kinds += String(kind)
      }
      return 0
    })
    return result < 0 ? result : names + kinds
  },
  readlinkAt(directory, name) {
    let target = ''
    const result = attempt(() => {
      target = readlinkSync(member(directory, name))
      return 0
    })
    return result < 0 ? result : target
  },
  mkdirAt: (directory, name, mode) => carryOut(() => mkdirSync(member(directory, name), { mode })),
  unlinkAt: (directory, name, isDirectory) =>
    carryOut(() => (isDirectory ? rmdirSync(member(directory, name)) : unlinkSync(member(directory, name)))),
  renameAt(from, name, to, newName, noReplace) {
    const source = member(from, name)
    const target = member(to, newName)
    if (!noReplace) return carryOut(() => renameSync(source, target))
    // A hard link refuses to replace, so for files this is as good as renameat2; directories cannot have one.
    const linked = carryOut(() => linkSync(source, target))
    if (linked === 0) return carryOut(() => unlinkSync(source))
    if (linked === -system.errno.EEXIST || linked === -system.errno.ENOENT) return linked
    const there = carryOut(() => lstatSync(target))
    if (there === 0) return -system.errno.EEXIST
    return carryOut(() => renameSync(source, target))
  },
  linkAt: (from, name, to, newName) => carryOut(() => linkSync(member(from, name), member(to, newName))),
  // Only real ids can be asked about; Postern's are always the effective ones too.
  accessAt: (directory, name, mode) => carryOut(() => accessSync(member(directory, name), mode)),
  flock: () => 0,
  // Half a microsecond keeps the conversion to a double from rounding down.
  touch: (fd, seconds, nanoseconds) =>
    attempt(() => {
      const time = seconds + Math.floor(nanoseconds / 1000) / 1e6 + 5e-7
      futimesSync(fd, Date.now() / 1000, time)
      return 0
    }),
  reflink: () => -system.errno.EOPNOTSUPP,
  copySmall(from, name, to, newName, seconds, nanoseconds, facts) {
    const readable = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY
    const fd = attempt(() => openSync(member(from, name), readable))
    if (fd < 0) return fd
    const bytes = attempt(() => {
      tell(fstatSync(fd, { bigint: true }), facts, 0)
      if (facts[fact.kind] !== fileKind) return -system.errno.ENXIO
      const size = facts[fact.size] ?? 0
      if (size > smallCopy.length) return -system.errno.EFBIG
      for (let got = 0; got < size;) {
        const more = readSync(fd, smallCopy, got, size - got, got)
        if (more === 0) return -system.errno.EIO
        got += more
      }
      return size
    })
    closeSync(fd)
    if (bytes < 0) return bytes
    const mode = (facts[fact.mode] ?? 0) & 0o777
    const copy = calls.openAt(to, newName, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode)
    if (copy < 0) return copy === -system.errno.ENOENT ? -system.errno.ESTALE : copy
    const result = carryOut(() => {
      for (let put = 0; put < bytes;) put += writeSync(copy, smallCopy, put, bytes - put, put)
      fchmodSync(copy, mode)
    })
    const touched = result < 0 ? result : calls.touch(copy, seconds, nanoseconds)
    closeSync(copy)
    return touched < 0 ? touched : bytes
  },
  async copyRange(from, start, to, at, length) {
    const buffer = Buffer.allocUnsafe(Math.min(length, 1 << 20))
    let done = 0
    try {
      while (done < length) {
        const { bytesRead } = await read_(from, buffer, 0, Math.min(buffer.length, length - done), start + done)
        if (bytesRead === 0) break
        for (let put = 0; put < bytesRead;)
          put += (await write_(to, buffer, put, bytesRead - put, at + done + put)).bytesWritten
        done += bytesRead
      }
    } catch (error) {
      return errnoOf(error)
    }
    return done
  },
  // The program of the system does what Node cannot.
  async syncFileSystem(fd) {
    const program = syncPrograms.find((path) => existsSync(path))
    if (program === undefined) return -system.errno.ENOSYS
    try {
      await run(program, ['-f', `/proc/${process.pid}/fd/${fd}`])
      return 0
    } catch {
      return -system.errno.EIO
    }
  },
}

function member(directory: number, name: string): string {
  return `/proc/self/fd/${directory}/${name}`
}

function carryOut(call: () => unknown): number {
  return attempt(() => {
    call()
    return 0
  })
}

function attempt(call: () => number): number {
  try {
    return call()
  } catch (error) {
    return errnoOf(error)
  }
}

function errnoOf(error: unknown): number {
  if (error instanceof Error && 'errno' in error && typeof error.errno === 'number') return error.errno
  throw error
}

function tell(found: BigIntStats, facts: Float64Array, at: number): number {
  const second = 1_000_000_000n
  facts[at + fact.kind] = found.isFile()
    ? fileKind
    : found.isDirectory()
      ? directoryKind
      : found.isSymbolicLink()
        ? linkKind
        : otherKind
  facts[at + fact.mode] = Number(found.mode & 0o7777n)
  facts[at + fact.size] = Number(found.size)
  facts[at + fact.modifiedSeconds] = Number(floorDivide(found.mtimeNs, second))
  facts[at + fact.modifiedNanoseconds] = Number(found.mtimeNs - floorDivide(found.mtimeNs, second) * second)
  facts[at + fact.changedSeconds] = Number(found.ctimeNs / second)
  facts[at + fact.changedNanoseconds] = Number(found.ctimeNs % second)
  facts[at + fact.bornSeconds] = Number(found.birthtimeNs / second)
  facts[at + fact.bornNanoseconds] = Number(found.birthtimeNs % second)
  facts[at + fact.inodeHigh] = Number(found.ino >> 32n)
  facts[at + fact.inodeLow] = Number(found.ino & 0xffffffffn)
  facts[at + fact.device] = Number(found.dev)
  facts[at + fact.links] = Number(found.nlink)
  facts[at + fact.uid] = Number(found.uid)
  facts[at + fact.gid] = Number(found.gid)
  return 0
}

function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b
  return a % b < 0n ? quotient - 1n : quotient
}

import { failureOf } from './local-errors.js'
import { rootPath } from '../core/path.js'
import type { DirectoryCalls } from './native.js'

/** A name as a directory holds it; kind 0 where only `statAt` can tell. */
export interface NameInDirectory {
  readonly name: string
  readonly kind: number
}

/** All names in an open directory, a bufferful at a time. Throws the failure of the disk. */
export function* namesIn(calls: DirectoryCalls, fd: number): Generator<NameInDirectory> {
  for (let first = true; ; first = false) {
    const found = calls.readdir(fd, first)
    if (typeof found === 'number') throw failureOf(found, rootPath)
    if (found.length === 0) return
    for (let i = 0; i < found.length; i += 2) yield { name: String(found[i]), kind: Number(found[i + 1]) }
  }
}

/** Whether a name in a directory is one that Postern keeps for itself, whatever made it. */
export function isReservedName(name: string): boolean {
  return name.startsWith('.') && /^\.postern-/iu.test(name)
}

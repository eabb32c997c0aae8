import { failureOf } from './errors.js'
import { rootPath } from '../../core/path.js'
import type { DirectoryCalls } from '../native.js'

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
    if (found === '') return
    const names = found.split('/')
    const kinds = names.pop() ?? ''
    for (let i = 0; i < kinds.length; i++) yield { name: names[i] ?? '', kind: kinds.charCodeAt(i) - 48 }
  }
}

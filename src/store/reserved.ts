import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'

/** Whether a path leads through a name that Postern keeps for itself: `.postern-…` in any case, folded by Unicode as some disks do. */
export function isReserved(path: string): boolean {
  return path.includes('/.') && /\/\.postern-/iu.test(path)
}

/** The same of a single name. */
export function isReservedName(name: string): boolean {
  return name.startsWith('.') && /^\.postern-/iu.test(name)
}

/** Throws `denied` for what can never be written to. */
export function refuseReserved(path: StorePath): void {
  if (isReserved(path)) throw new Failure('denied', 'This name is kept by the server for itself.', { path })
}

import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs'
import { constants as system } from 'node:os'
import { Failure } from '../../core/failure.js'
import { loadNative } from '../../store/native.js'

/**
 * Takes a directory for this process, until the function that is given is called or the process is gone, however that comes.
 * Throws `conflict` where another has taken it; `what` names it to a person. It guards against mistakes: where the native part
 * is missing, or the file system has no locks for directories (flock(2)), nothing is taken.
 */
export function claim(directory: string, what: string): () => void {
  const native = loadNative()
  if (native === undefined) return () => undefined
  const descriptor = openSync(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  const isTaken = native.flock(descriptor, true) === -system.errno.EWOULDBLOCK
  // Whoever ends removes it, and lets go of what is no longer there.
  const found = statSync(directory, { throwIfNoEntry: false })
  const own = fstatSync(descriptor)
  if (!isTaken && found?.ino === own.ino && found.dev === own.dev) {
    let isHeld = true
    return () => {
      if (isHeld) closeSync(descriptor)
      isHeld = false
    }
  }
  closeSync(descriptor)
  throw alreadyThere(directory, what)
}

/** What a second server is told. */
export function alreadyThere(directory: string, what: string): Failure {
  return new Failure('conflict', `A server runs already with the ${what} ${directory}.`)
}

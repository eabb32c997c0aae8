import { Failure } from '../core/failure.js'
import { rootPath, type StorePath } from '../core/path.js'

/** The failures of the `Store` contract that every store words alike. Each carries the path at fault. */

export function notFound(path: StorePath): Failure {
  return new Failure('not-found', 'There is nothing of that name.', { path })
}

export function exists(path: StorePath): Failure {
  return new Failure('exists', 'There is something of that name already.', { path })
}

export function noParent(parent: StorePath): Failure {
  return new Failure('no-parent', 'The parent directory does not exist.', { path: parent })
}

export function notEmpty(path: StorePath): Failure {
  return new Failure('not-empty', 'The directory is not empty.', { path })
}

export function isDirectory(path: StorePath): Failure {
  return new Failure('is-directory', 'That is a directory.', { path })
}

export function notDirectory(path: StorePath): Failure {
  return new Failure('not-directory', 'That is a file, not a directory.', { path })
}

/** A file onto itself. */
export function sameTarget(path: StorePath): Failure {
  return new Failure('denied', 'Source and target are the same.', { path })
}

/** A directory into itself or below itself. */
export function intoItself(path: StorePath): Failure {
  return new Failure('denied', 'A directory cannot go into itself.', { path })
}

/** A body that is not as long as `WriteOptions.length`. */
export function wrongLength(): Failure {
  return new Failure('incomplete', 'The body is not as long as it was said to be.')
}

/** Throws for the root, which nobody removes or moves. */
export function refuseRoot(path: StorePath): void {
  if (path === rootPath) throw new Failure('denied', 'The root cannot be removed or moved.', { path })
}

/** A mount point, or a directory on the way to one. */
export function heldByMount(path: StorePath): Failure {
  return new Failure('denied', 'This directory holds what is mounted here and cannot be removed, moved or replaced.', {
    path,
  })
}

import { constants } from 'node:os'
import { Failure, type FailureKind } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'

const { errno } = constants

/** A system call failed: what that means, whatever was being done. */
const meanings: ReadonlyMap<number, readonly [kind: FailureKind, message: string]> = new Map([
  [errno.ENOENT, ['not-found', 'There is no such file.']],
  [errno.ENOTDIR, ['not-directory', 'A file is where a directory is needed.']],
  [errno.EISDIR, ['is-directory', 'This is a directory.']],
  [errno.EEXIST, ['exists', 'Something of that name is already there.']],
  [errno.ENOTEMPTY, ['not-empty', 'The directory is not empty.']],
  [errno.ENOSPC, ['no-space', 'The disk is full.']],
  [errno.EDQUOT, ['no-space', 'The quota of the disk is used up.']],
  [errno.EFBIG, ['no-space', 'The file is larger than the disk allows.']],
  [errno.EACCES, ['denied', 'The system does not allow this.']],
  [errno.EPERM, ['denied', 'The system does not allow this.']],
  [errno.EROFS, ['denied', 'The disk is read-only.']],
  [errno.ELOOP, ['denied', 'A symbolic link is in the way.']],
  [errno.EXDEV, ['elsewhere', 'The two ends lie on different disks.']],
  [errno.EBUSY, ['denied', 'The directory is in use by the system.']],
  [errno.ENAMETOOLONG, ['invalid', 'The name is too long for this disk.']],
  // Some filesystems take only names of certain characters.
  [errno.EILSEQ, ['invalid', 'The disk does not take this name.']],
  [errno.EMFILE, ['unavailable', 'Too many files are open.']],
  [errno.ENFILE, ['unavailable', 'Too many files are open.']],
  [errno.EIO, ['unavailable', 'The disk cannot be read or written.']],
  [errno.ESTALE, ['unavailable', 'The disk was disconnected.']],
  [errno.ENXIO, ['unavailable', 'The disk was disconnected.']],
  [errno.ENODEV, ['unavailable', 'The disk was disconnected.']],
  [errno.ENOMEM, ['unavailable', 'There is not enough memory.']],
  [errno.ETIMEDOUT, ['unavailable', 'The disk does not answer.']],
])

/** The `Failure` that a negative errno stands for; `unavailable` for those without a meaning of their own. */
export function failureOf(code: number, path: StorePath): Failure {
  const [kind, message] = meanings.get(-code) ?? ['unavailable', 'The disk reports a fault.']
  const cause = new Error(`errno ${-code}`)
  return new Failure(kind, message, kind === 'unavailable' ? { path, cause, retryAfterSeconds: 5 } : { path, cause })
}

/** The same for what Node's own file functions throw. Quotas come with code `UNKNOWN`, so the number counts. Else the error itself. */
export function fileFailure(error: unknown, path: StorePath): unknown {
  if (error instanceof Failure || !(error instanceof Error)) return error
  if (!('errno' in error) || typeof error.errno !== 'number' || !('syscall' in error)) return error
  const failure = failureOf(error.errno, path)
  return new Failure(failure.kind, failure.message, {
    path,
    cause: error,
    ...(failure.retryAfterSeconds === undefined ? {} : { retryAfterSeconds: failure.retryAfterSeconds }),
  })
}

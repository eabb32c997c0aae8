import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { ancestorsOf, rootPath, type StorePath } from '../../core/path.js'
import type { LocalContext } from './context.js'
import { directoryKind, fact, factsLength } from '../native.js'

const { errno } = system
const directoryFlags = constants.O_RDONLY | constants.O_DIRECTORY
const writableByOthers = 0o022
const sticky = 0o1000

/** Whose process this is, where each user's files are served by one of their own. */
export interface RoomOwner {
  readonly uid: number
  /** Where their own directory lies in the store, if it does. */
  readonly home: StorePath | undefined
}

/** A directory of the store in which the folder of all rooms lies, or may lie. */
export interface RoomFolder {
  readonly above: StorePath
  /** One that no client can name. */
  readonly name: string
  /** The folder and its rooms must be this user's alone. */
  readonly uid: number | undefined
}

/** Made by who looks after the store, for users who may write nowhere else that is near. */
const common = '/.postern-parts' as StorePath

/**
 * Where rooms can lie, best first: at the root; where every user has a process, in a folder of their own at the root, in
 * their home, or in a directory of root's that others can only add to.
 */
export function roomFolders({ owner }: Pick<LocalContext, 'owner'>): readonly RoomFolder[] {
  if (owner === undefined) return [{ above: rootPath, name: '.postern-parts', uid: undefined }]
  const { uid, home = rootPath } = owner
  const own = { name: `.postern-parts-${uid}`, uid }
  return [
    { above: rootPath, ...own },
    ...(home === rootPath ? [] : [{ above: home, ...own }]),
    { above: common, name: String(uid), uid },
  ]
}

/** The same, those on the disk of the file first. */
export function foldersFor(context: LocalContext, path: StorePath): readonly RoomFolder[] {
  const folders = roomFolders(context)
  if (folders.length === 1) return folders
  const facts = new Float64Array(factsLength)
  const deviceAt = (at: StorePath): number | undefined =>
    context.beneath.stat(at, facts) < 0 ? undefined : facts[fact.device]
  const wanted = ancestorsOf(path)
    .map(deviceAt)
    .find((device) => device !== undefined)
  const isNear = ({ above }: RoomFolder): boolean => deviceAt(above) === wanted
  return [...folders.filter(isNear), ...folders.filter((folder) => !isNear(folder))]
}

/** Opens the directory in which the folder lies, or gives a negative errno. */
export function openAbove({ beneath }: LocalContext, { above }: RoomFolder): number {
  const fd = beneath.open(above, directoryFlags)
  if (fd < 0 || above !== common) return fd
  const facts = new Float64Array(factsLength)
  const mode = beneath.calls.fstat(fd, facts) < 0 ? 0o777 : (facts[fact.mode] ?? 0o777)
  if (facts[fact.uid] === 0 && ((mode & writableByOthers) === 0 || (mode & sticky) !== 0)) return fd
  closeSync(fd)
  return -errno.EACCES
}

/** Opens a folder, or a room in it, or gives a negative errno; EACCES where others could change what is in it. */
export function openOwn({ beneath }: LocalContext, at: number, name: string, uid: number | undefined): number {
  const fd = beneath.calls.openAt(at, name, directoryFlags, 0)
  if (fd < 0 || uid === undefined) return fd
  const facts = new Float64Array(factsLength)
  const isOwn =
    beneath.calls.fstat(fd, facts) >= 0 &&
    facts[fact.kind] === directoryKind &&
    facts[fact.uid] === uid &&
    ((facts[fact.mode] ?? 0) & writableByOthers) === 0
  if (isOwn) return fd
  closeSync(fd)
  return -errno.EACCES
}

/** Opens the folder itself, or gives a negative errno. */
export function openFolder(context: LocalContext, folder: RoomFolder): number {
  const above = openAbove(context, folder)
  if (above < 0) return above
  try {
    return openOwn(context, above, folder.name, folder.uid)
  } finally {
    closeSync(above)
  }
}

/** Whether a negative errno means that a folder is not to be had there, and perhaps elsewhere. */
export function isNoPlace(code: number): boolean {
  return [errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS].includes(-code)
}

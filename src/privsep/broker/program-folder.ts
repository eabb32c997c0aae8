import { lstatSync, readdirSync, realpathSync } from 'node:fs'
import type { Stats } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { Failure } from '../../core/failure.js'

/**
 * Makes sure that nobody but root can change these files and folders, nor put others in their place, and that every user
 * can read them. Of a folder everything counts that is in it; of `node_modules`, the packages, not each of their files. Throws
 * `invalid` with the path at fault and what to do.
 */
export function checkProgram(paths: readonly string[]): void {
  const seen = new Set<string>()
  for (const path of paths) {
    checkFolderOf(path, seen)
    const real = realOf(path)
    checkFolderOf(real, seen)
    checkTree(real, basename(real) === 'node_modules' ? 2 : Infinity, seen)
  }
}

/**
 * Makes sure that nobody but root can change a file that says what root is to do, nor put another in its place: it need not be
 * readable for others. Throws `invalid`.
 */
export function checkOrders(file: string): void {
  const seen = new Set<string>()
  for (const path of [file, realOf(file)]) {
    checkFolderOf(path, seen, false)
    const stats = lstatSync(path)
    if (!stats.isSymbolicLink()) checkOwned(path, stats)
  }
}

/**
 * Makes sure that nobody but root can put something else in the place of `path`, and, where it is for others, that everybody
 * can get to it. Throws `invalid`.
 */
export function checkFolderOf(path: string, seen = new Set<string>(), isForOthers = true): void {
  for (let at = dirname(path); ; at = dirname(at)) {
    if (seen.has(at)) return
    seen.add(at)
    const stats = lstatSync(at)
    // The target of a link is looked at by its own path.
    if (stats.isSymbolicLink()) checkFolderOf(join(realOf(at), '_'), seen, isForOthers)
    else {
      checkOwned(at, stats)
      if (isForOthers && (stats.mode & 0o001) === 0)
        throw new Failure(
          'invalid',
          `Users' processes cannot get through ${at}, where Postern needs them to: chmod o+x ${at}, or choose another place.`,
        )
    }
    if (at === '/') return
  }
}

function checkTree(path: string, depth: number, seen: Set<string>): void {
  const stats = lstatSync(path)
  if (stats.isSymbolicLink()) {
    const real = realOf(path)
    checkFolderOf(real, seen)
    checkOwned(real, lstatSync(real))
    return
  }
  checkOwned(path, stats)
  const needed = stats.isDirectory() ? 0o005 : 0o004
  if ((stats.mode & needed) !== needed)
    throw new Failure(
      'invalid',
      `Users' processes cannot read ${path}, which belongs to the program of Postern: chmod o+${stats.isDirectory() ? 'rx' : 'r'} ${path}, or install Postern where everybody can read it, such as /opt/postern.`,
    )
  if (!stats.isDirectory() || depth === 0 || seen.has(`tree:${path}`)) return
  seen.add(`tree:${path}`)
  for (const name of readdirSync(path)) checkTree(join(path, name), depth - 1, seen)
}

function checkOwned(path: string, stats: Stats): void {
  const advice = 'choose a place where only root can write, such as /opt/postern for the program'
  if (stats.uid !== 0)
    throw new Failure(
      'invalid',
      `${path} belongs to the user with the id ${stats.uid}, who could change what Postern relies on: ${advice}, or chown root ${path}.`,
    )
  // In a folder such as /tmp nobody can rename or remove what is root's.
  const isSticky = stats.isDirectory() && (stats.mode & 0o1000) !== 0
  const groupWrites = (stats.mode & 0o020) !== 0 && stats.gid !== 0
  if (!isSticky && (groupWrites || (stats.mode & 0o002) !== 0))
    throw new Failure(
      'invalid',
      `Others than root may write to ${path}, and could change what Postern relies on: ${advice}, or chmod go-w ${path}.`,
    )
}

function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch (cause) {
    throw new Failure('invalid', `${path}, which belongs to the program of Postern, is not there.`, { cause })
  }
}

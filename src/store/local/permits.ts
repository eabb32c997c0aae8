import { closeSync, constants } from 'node:fs'
import { constants as system } from 'node:os'
import { parentOf, rootPath, type StorePath } from '../../core/path.js'
import type { Place } from '../beneath.js'
import { directoryKind, fact, factsLength, linkKind } from '../native.js'
import { isReserved } from '../reserved.js'
import type { Action } from '../store.js'
import { isAbsent, type LocalContext } from './context.js'
import { isForeign } from './facts.js'

const { R_OK, W_OK, X_OK } = constants
const { errno } = system
const stickyBit = 0o1000
const openDirectory = constants.O_RDONLY | constants.O_DIRECTORY

const facts = new Float64Array(factsLength)

/**
 * `Store.permits` as the kernel would have it for the effective user of this process: access(2), and the sticky bit of
 * unlink(2) and rename(2). A file is replaced by another one, so that it is the directory that must be writable. Whatever
 * is not there is refused by nobody; to make it needs the nearest directory above that is.
 */
export function permits(context: LocalContext, action: Action, path: StorePath): boolean {
  if (isReserved(path)) return false
  if (path === rootPath) return action !== 'delete' && action !== 'create' && allowsRoot(context, action)
  const place = context.beneath.place(path, false)
  if (typeof place === 'number') return isAbsent(place) && (changes[action] !== true || allowsAbove(context, path))
  try {
    return allowsAt(context, place, action, path)
  } finally {
    closeSync(place.directory)
  }
}

/** These make a name that is not there yet, where they find none. */
const changes: Readonly<Partial<Record<Action, true>>> = { create: true, replace: true }

function allowsAt(context: LocalContext, place: Place, action: Action, path: StorePath): boolean {
  const { calls } = context.beneath
  const looked = calls.statAt(place.directory, place.name, facts)
  if (looked < 0) {
    if (looked !== -errno.ENOENT) return false
    return changes[action] !== true || may(context, place.directory, '.', W_OK | X_OK)
  }
  if (facts[fact.kind] === linkKind && context.beneath.followsLinks) return allowsTarget(context, action, path)
  const kind = facts[fact.kind]
  if (isForeign(kind)) return false
  const isDirectory = kind === directoryKind
  switch (action) {
    case 'read':
      return may(context, place.directory, place.name, R_OK)
    case 'list':
      return may(context, place.directory, place.name, isDirectory ? R_OK | X_OK : R_OK)
    case 'replace':
      if (isDirectory) return may(context, place.directory, place.name, W_OK | X_OK)
      return mayUnname(context, place.directory, facts[fact.uid] ?? -1)
    case 'create':
      return may(context, place.directory, '.', W_OK | X_OK)
    case 'delete':
      return mayUnname(context, place.directory, facts[fact.uid] ?? -1)
  }
}

/** Of a link that is followed: its name can be taken from the directory that it lies in, all else is its target's. */
function allowsTarget(context: LocalContext, action: Action, path: StorePath): boolean {
  const place = context.beneath.place(path, action !== 'delete')
  if (typeof place === 'number') return isAbsent(place)
  try {
    const looked = context.beneath.calls.statAt(place.directory, place.name, facts)
    if (action === 'delete') return looked >= 0 && mayUnname(context, place.directory, facts[fact.uid] ?? -1)
    if (looked < 0 || facts[fact.kind] === linkKind) return changes[action] !== true
    return allowsAt(context, place, action, path)
  } finally {
    closeSync(place.directory)
  }
}

/** Whether a name of a file of that user can be taken away in an open directory. */
function mayUnname(context: LocalContext, directory: number, owner: number): boolean {
  const { calls } = context.beneath
  if (!may(context, directory, '.', W_OK | X_OK) || calls.fstat(directory, facts) < 0) return false
  if (((facts[fact.mode] ?? 0) & stickyBit) === 0) return true
  const me = process.geteuid?.()
  return me === 0 || me === owner || me === facts[fact.uid]
}

function allowsRoot(context: LocalContext, action: Action): boolean {
  return may(context, context.beneath.root, '.', action === 'replace' ? W_OK | X_OK : R_OK | X_OK)
}

/** Whether something can be made in the nearest directory above that is there. */
function allowsAbove(context: LocalContext, path: StorePath): boolean {
  for (let above = parentOf(path); ; above = parentOf(above)) {
    const opened = context.beneath.open(above, openDirectory)
    if (opened >= 0) {
      try {
        return may(context, opened, '.', W_OK | X_OK)
      } finally {
        closeSync(opened)
      }
    }
    if (opened !== -errno.ENOENT || above === rootPath) return false
  }
}

function may({ beneath }: LocalContext, directory: number, name: string, mode: number): boolean {
  return beneath.calls.accessAt(directory, name, mode) === 0
}

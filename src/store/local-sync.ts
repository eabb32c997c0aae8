import { fsync } from 'node:fs'
import { promisify } from 'node:util'
import type { StorePath } from '../core/path.js'
import type { Place } from './beneath.js'
import { type LocalContext, lookInto, onDisk } from './local-context.js'

const syncDescriptor = promisify(fsync)

/** Directories being synced, by device and inode, with the one sync that will follow for all who came too late. */
export type DirectorySyncs = Map<string, { running: Promise<void>; following?: Promise<void> }>

/**
 * Makes the names in a directory durable. One that may not be read cannot be synced: then the file that got the name is,
 * which takes the name along on the disks in use today.
 */
export async function syncPlace(context: LocalContext, place: Place, path: StorePath, file?: number): Promise<void> {
  if (!place.passOnly) await syncDirectory(context, place.directory, path)
  else if (file !== undefined) await onDisk(path, syncDescriptor(file))
  else await context.beneath.calls.syncFileSystem(place.directory)
}

/** Many writers in one directory share syncs: one that began before a name was given does not count for it, the next does. */
export async function syncDirectory(context: LocalContext, directory: number, path: StorePath): Promise<void> {
  const { device, inode } = lookInto(context, directory, path)
  const key = `${device}:${inode}`
  const { syncs } = context
  const current = syncs.get(key)
  if (current === undefined) await begin()
  else await (current.following ??= current.running.then(begin, begin))

  async function begin(): Promise<void> {
    const running = onDisk(path, syncDescriptor(directory))
    const mine = { running }
    syncs.set(key, mine)
    try {
      await running
    } finally {
      if (syncs.get(key) === mine) syncs.delete(key)
    }
  }
}

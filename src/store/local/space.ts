import { statfs } from 'node:fs/promises'
import type { StorePath } from '../../core/path.js'
import { type LocalContext, onDisk } from './context.js'

/** Room of the disk that holds the files, in bytes; `blocks` is 0 where the disk does not tell. */
export interface Room {
  readonly blocks: number
  readonly used: number
  readonly available: number
}

export async function roomAt(context: LocalContext, path: StorePath): Promise<Room> {
  const found = await onDisk(path, statfs(context.beneath.rootName))
  // What is kept back for the administrator is his to use.
  const free = process.geteuid?.() === 0 ? found.bfree : found.bavail
  return {
    blocks: found.blocks,
    used: (found.blocks - found.bfree) * found.bsize,
    available: free * found.bsize,
  }
}

import type { StorePath } from '../core/path.js'
import type { Body, DigestName, Digests, Piece, Space, Store, WriteOptions, Written } from '../store/store.js'
import { assembleRemote } from './remote-store/assemble.js'
import { RemoteChanges } from './remote-store/changing.js'
import { digestRemote } from './remote-store/digest.js'
import { listRemote } from './remote-store/listing.js'
import { RemotePartRooms } from './remote-store/parts.js'
import type { RemoteMount } from './remote-store/peer.js'
import { openRemote, permitsRemote, spaceRemote, statRemote } from './remote-store/reading.js'
import { writeRemote } from './remote-store/write.js'

/** Questions that are on their way at the same time cost little more than one. */
const membersAtOnce = 16

/** A `Store` of which each file is touched by a process of the user in question alone, and so as the kernel lets that user. */
export interface RemoteStore extends Store {
  settle(): Promise<void>
  removeTree(path: StorePath, signal?: AbortSignal): Promise<void>
  moveTree(from: StorePath, to: StorePath): Promise<Written>
  copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written>
  assemble(to: StorePath, pieces: readonly Piece[], options?: WriteOptions): Promise<Written>
  space(path: StorePath): Promise<Space>
  digest(path: StorePath, names: readonly DigestName[], signal?: AbortSignal): Promise<Digests>
  readonly parts: RemotePartRooms
  /** Removes what processes of the user that crashed have left; gives how many. */
  sweep(): Promise<number>
}

/** A mount as a store. To close it does nothing: the process serves others too, and ends with its link. */
export function remoteStore(mount: RemoteMount): RemoteStore {
  const changes = new RemoteChanges(mount)
  const stat = (path: StorePath, signal?: AbortSignal): ReturnType<Store['stat']> => statRemote(mount, path, signal)
  return {
    stat,
    list: (directory, options) => listRemote(mount, directory, options),
    open: (path, options) => openRemote(mount, path, options),
    write: (path: StorePath, body: Body, options) => writeRemote(mount, path, body, options),
    change: (path, change) => changes.change(path, change),
    makeDirectory: (path, signal) => changes.makeDirectory(path, signal),
    remove: (path, options) => changes.remove(path, options),
    copy: (from, to, options) => changes.copy(from, to, options),
    move: (from, to, options) => changes.move(from, to, options),
    permits: (action, path) => permitsRemote(mount, action, path),
    close: async () => undefined,
    concurrency: membersAtOnce,
    settle: () => changes.settle(),
    removeTree: (path, signal) => changes.removeTree(path, signal),
    moveTree: (from, to) => changes.moveTree(from, to),
    copyTree: (from, to, signal) => changes.copyTree(from, to, signal),
    parts: new RemotePartRooms(mount),
    digest: (path, names, signal) => digestRemote(mount, stat, path, names, signal),
    assemble: (to, pieces, options) => assembleRemote(mount, to, pieces, options),
    space: (path) => spaceRemote(mount, path),
    sweep: () => changes.sweep(),
  }
}

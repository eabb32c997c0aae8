import type { PartRooms } from './part-rooms.js'
import type { Store } from './store.js'

/** All of a store's methods as plain functions that a wrapper can spread and replace. */
export function bound(store: Store): { -readonly [Key in keyof Store]: Store[Key] } {
  return {
    stat: (path, signal) => store.stat(path, signal),
    list: (directory, options) => store.list(directory, options),
    open: (path, options) => store.open(path, options),
    write: (path, body, options) => store.write(path, body, options),
    change: (path, change) => store.change(path, change),
    makeDirectory: (path, signal) => store.makeDirectory(path, signal),
    remove: (path, options) => store.remove(path, options),
    copy: (from, to, options) => store.copy(from, to, options),
    move: (from, to, options) => store.move(from, to, options),
    permits: (action, path) => store.permits(action, path),
    close: () => store.close(),
    ...(store.concurrency !== undefined && { concurrency: store.concurrency }),
    ...(store.settle && { settle: store.settle.bind(store) }),
    ...(store.removeTree && { removeTree: store.removeTree.bind(store) }),
    ...(store.moveTree && { moveTree: store.moveTree.bind(store) }),
    ...(store.copyTree && { copyTree: store.copyTree.bind(store) }),
    ...(store.parts && { parts: boundParts(store.parts) }),
    ...(store.digest && { digest: store.digest.bind(store) }),
    ...(store.assemble && { assemble: store.assemble.bind(store) }),
    ...(store.space && { space: store.space.bind(store) }),
    ...(store.presign && { presign: store.presign.bind(store) }),
  }
}

/** The same for rooms of parts. */
export function boundParts(parts: PartRooms): PartRooms {
  return {
    open: (path, size) => parts.open(path, size),
    put: (room, number, body, options) => parts.put(room, number, body, options),
    putFrom: (room, number, from, range, options) => parts.putFrom(room, number, from, range, options),
    become: (room, path, stored, options) => parts.become(room, path, stored, options),
    drop: (room, part) => parts.drop(room, part),
    close: (room, bytes) => parts.close(room, bytes),
    list: () => parts.list(),
    ...(parts.presign && { presign: parts.presign.bind(parts) }),
    ...(parts.adopt && { adopt: parts.adopt.bind(parts) }),
  }
}

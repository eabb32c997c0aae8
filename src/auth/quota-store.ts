import { partsWithin } from './quota-parts.js'
import { overQuota, type Reserved, type Usage } from '../catalog/usage.js'
import { isFailure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import { atMost } from '../store/at-most.js'
import { bound } from '../store/bound.js'
import type { Piece, Staged, Store, WriteOptions, Written } from '../store/store.js'

export interface Quota {
  /** Where everything lies that the caller may name, and what it is that is counted. */
  readonly home: StorePath
  readonly quotaBytes: number
  readonly usage: Usage
}

/**
 * A store in which no more than so many bytes come to lie below a home. Counted is the size of files, and of the parts of
 * uploads, of all writers; refused is what a caller with the quota writes: `no-space` (`quota-not-exceeded`, RFC 4331 §6),
 * before the body where its length is known, as soon as there is too much of it where it is not. All paths must lie below
 * the home.
 */
export function withinQuota(store: Store, quota: Quota): Store {
  const { home, quotaBytes, usage } = quota
  const plain = bound(store)
  const { removeTree, copyTree, assemble, parts, space } = plain
  // Nobody would count what comes by these.
  delete plain.presign
  const nothingYet = (): Promise<Reserved> => usage.reserve(home, quotaBytes, 0)

  async function sizeOf(path: StorePath): Promise<number> {
    return (await store.stat(path))?.size ?? 0
  }

  /** Bytes that a new file of that name may have. Throws where `length` are too many. */
  async function roomFor(path: StorePath, length: number | undefined): Promise<number> {
    const present = await sizeOf(path)
    const room = present + (await usage.room(home, quotaBytes, length === undefined ? 1 : length - present))
    // What makes nothing bigger is fine even where there is too much already.
    const most = Math.max(room, present)
    if (length !== undefined && length > most) throw overQuota()
    return most
  }

  /** A commit of new content. The bytes are set aside at the last moment before it. */
  async function put(
    path: StorePath,
    options: WriteOptions,
    commit: (options: WriteOptions) => Promise<Written>,
  ): Promise<Written> {
    let reserved: Reserved | undefined
    let gone = 0
    const beforeCommit = async (staged: Staged): Promise<void> => {
      await options.beforeCommit?.(staged)
      const present = await sizeOf(path)
      gone = present - staged.size
      reserved = await usage.reserve(home, quotaBytes, staged.size - present)
    }
    try {
      const written = await commit({ ...options, beforeCommit })
      if (reserved !== undefined) await usage.free(home, reserved, gone)
      return written
    } catch (error) {
      if (reserved !== undefined) await usage.cancel(home, reserved)
      throw error
    }
  }

  /** A step that brings as many bytes as were seen before, in place of those that `gone` tells. */
  async function bringing(
    bytes: number,
    gone: number,
    step: () => Promise<Written>,
    brought: (written: Written) => number | Promise<number>,
  ): Promise<Written> {
    const reserved = await usage.reserve(home, quotaBytes, bytes - gone)
    let written: Written
    try {
      written = await step()
    } catch (error) {
      await usage.cancel(home, reserved)
      throw error
    }
    await usage.free(home, reserved, gone - bytes)
    try {
      // The source may have grown meanwhile: it is too late to refuse, not to count.
      await usage.reserve(home, Infinity, (await brought(written)) - bytes)
    } catch (error) {
      if (!isFailure(error)) throw error
    }
    return written
  }

  return {
    ...plain,
    async write(path, body, options = {}) {
      const room = await roomFor(path, options.length)
      const bounded = options.length === undefined ? atMost(body, room, overQuota) : body
      return put(path, options, (counted) => store.write(path, bounded, counted))
    },
    async remove(path, options) {
      const size = await sizeOf(path)
      const before = await nothingYet()
      await store.remove(path, options)
      await usage.free(home, before, size)
    },
    async copy(from, to, options) {
      const [bytes, gone] = [await sizeOf(from), await sizeOf(to)]
      return bringing(
        bytes,
        gone,
        () => store.copy(from, to, options),
        ({ entry }) => entry.size,
      )
    },
    async move(from, to, options) {
      const gone = await sizeOf(to)
      const before = await nothingYet()
      const written = await store.move(from, to, options)
      await usage.free(home, before, gone)
      return written
    },
    ...(removeTree && {
      async removeTree(path: StorePath, signal?: AbortSignal) {
        const bytes = await bytesBelow(store, path)
        const before = await nothingYet()
        await removeTree(path, signal)
        await usage.free(home, before, bytes)
      },
    }),
    ...(copyTree && {
      async copyTree(from: StorePath, to: StorePath, signal?: AbortSignal) {
        const bytes = await bytesBelow(store, from, signal)
        return bringing(
          bytes,
          0,
          () => copyTree(from, to, signal),
          () => bytesBelow(store, to),
        )
      },
    }),
    ...(assemble && {
      async assemble(to: StorePath, pieces: readonly Piece[], options: WriteOptions = {}) {
        const room = await roomFor(to, options.length)
        const bounded = pieces.map((piece) => ('body' in piece ? { body: atMost(piece.body, room, overQuota) } : piece))
        return put(to, options, (counted) => assemble(to, bounded, counted))
      },
    }),
    ...(parts && { parts: partsWithin(parts, quota, sizeOf) }),
    async space(path) {
      const known = await space?.(path)
      const room = await usage.room(home, quotaBytes, 0)
      return { used: quotaBytes - room, available: Math.max(0, Math.min(room, known?.available ?? Infinity)) }
    },
  }
}

/** The bytes of all files at and below a path; none where nothing is. */
export async function bytesBelow(store: Store, path: StorePath, signal?: AbortSignal): Promise<number> {
  const entry = await store.stat(path, signal)
  if (entry?.kind !== 'directory') return entry?.size ?? 0
  let bytes = 0
  try {
    for await (const entries of store.list(path, { depth: 'infinity', ...(signal !== undefined && { signal }) }))
      for (const { size } of entries) bytes += size
  } catch (error) {
    // It went meanwhile.
    if (!isFailure(error, 'not-found', 'not-directory')) throw error
  }
  return bytes
}

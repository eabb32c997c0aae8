import { lstatSync, realpathSync, statSync } from 'node:fs'
import { basename, join, sep } from 'node:path'
import { Failure } from '../../core/failure.js'
import type { Directory, SigningKey } from '../identity.js'
import { liveFile, type LiveFile } from './live-file.js'
import { parseS3KeyFile, type S3KeyFacts } from './s3-key-file.js'

export interface S3KeysOptions {
  readonly name: string
  /** Holds a file for each key, named as its access key id. Absolute. */
  readonly folder: string
  readonly warn: (facts: object, message: string) => void
}

const maxBytes = 64 * 1024
/** So many keys are remembered at a time. */
const maxKeys = 10_000

/**
 * A folder of S3 key files. A file that is changed, added or removed counts from the next request. Throws `unavailable`
 * where the folder is gone or writable by everybody.
 */
export function s3KeysDirectory({ name: source, folder, warn }: S3KeysOptions): Directory {
  const files = new Map<string, LiveFile<S3KeyFacts>>()
  const told = new Set<string>()

  /** Once for each name: callers choose how often they ask. */
  function warnOfLink(file: string): void {
    if (told.has(file) || told.size >= maxKeys) return
    told.add(file)
    warn({ file }, 'a key file that is a link out of its folder counts for nothing')
  }

  function fileOf(id: string): LiveFile<S3KeyFacts> | undefined {
    const file = join(folder, id)
    if (!isKeyFile(folder, id, warnOfLink)) {
      files.delete(id)
      return undefined
    }
    let live = files.get(id)
    if (live === undefined) {
      live = liveFile({ file, maxBytes, parse: parseS3KeyFile, warn, secret: true })
      if (files.size >= maxKeys) files.clear()
      files.set(id, live)
    }
    return live
  }

  return {
    name: source,
    accepts: new Set(),
    check: async () => ({ kind: 'unknown' }),
    async signingKey(accessKeyId): Promise<SigningKey | undefined> {
      if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/.test(accessKeyId)) return undefined
      checkFolder(folder)
      const facts = await fileOf(accessKeyId)?.facts()
      if (facts?.secret === undefined) return undefined
      return { secret: facts.secret, identity: { name: accessKeyId, source, grants: facts.grants } }
    },
  }
}

/** Throws `unavailable`. */
export function checkFolder(folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false })
  const why = !stats?.isDirectory()
    ? 'it is no directory'
    : (stats.mode & 0o002) !== 0
      ? 'everybody on this host may write to it: chmod o-w it'
      : undefined
  if (why === undefined) return
  const cause = new Error(why)
  throw new Failure('unavailable', 'Keys cannot be checked now. Try again soon.', { retryAfterSeconds: 5, cause })
}

/** A file of just this name, or a link that stays within the folder, as container platforms make them. */
function isKeyFile(folder: string, id: string, onLinkOut: (file: string) => void): boolean {
  const file = join(folder, id)
  const stats = lstatSync(file, { throwIfNoEntry: false })
  if (stats === undefined || (!stats.isFile() && !stats.isSymbolicLink())) return false
  try {
    const target = realpathSync.native(file)
    // Where the file system does not tell upper case from lower, the name asked for need not be the name.
    if (stats.isFile()) return basename(target) === id
    if (target.startsWith(realpathSync.native(folder) + sep)) return true
    onLinkOut(file)
    return false
  } catch {
    return false
  }
}

import { Failure, isFailure } from '../../core/failure.js'
import { rootPath, type StorePath } from '../../core/path.js'
import { requireConditions } from '../conditions.js'
import type { Attributes, Entry, EntryChange } from '../store.js'
import { changeTries, changing, type S3Context } from './context.js'
import { attributesOf, digestsOf, directoryEntry, fileEntry, headersOf, md5OfEtag } from './entries.js'
import { directoryKey, fileKey } from './keys.js'
import { type FoundDirectory, type FoundFile, findPresent } from './look.js'
import { maxObjectBytesAtOnce } from './service.js'

/** So far may a time lie from now that is as good as now, in milliseconds. */
const aboutNow = 60_000

/**
 * `Store.change`. S3 keeps no time and no executable flag that is given to it, so those are `unsupported`, and nothing is
 * changed then; attributes are replaced by a copy of the object onto itself, which makes its time now: that can be had.
 */
export async function changeEntry(context: S3Context, path: StorePath, change: EntryChange): Promise<Entry> {
  const { attributes, ifMatch, modified } = change
  const isTouch = modified !== undefined && Math.abs(modified - Date.now()) <= aboutNow
  const judgeAndChange = async (isLastTry: boolean): Promise<Entry | undefined> => {
    const found = await findPresent(context, path)
    if (found.kind === 'file' && ifMatch !== undefined) requireConditions(path, found.facts, { ifMatch })
    const isFlagged = change.executable !== undefined && found.kind === 'file'
    if (isFlagged || (modified !== undefined && !isTouch)) throw unable(path)
    const next = attributes ?? (isTouch ? attributesOf(found.facts?.headers ?? {}, found.kind) : undefined)
    try {
      if (found.kind === 'file') return await changeFile(context, path, found, next)
      return await changeDirectory(context, path, found, next)
    } catch (error) {
      if (!isFailure(error, 'precondition', 'not-found') || isLastTry) throw error
      return undefined
    }
  }
  for (let tries = 1; ; tries++) {
    const entry = await changing(context, fileKey(path), () => judgeAndChange(tries >= changeTries))
    if (entry !== undefined) return entry
  }
}

async function changeFile(
  context: S3Context,
  path: StorePath,
  { key, facts }: FoundFile,
  attributes: Attributes | undefined,
): Promise<Entry> {
  if (attributes === undefined) return fileEntry(context, path, facts)
  const { abilities } = context.service
  const { etag, size } = facts
  // To copy more takes several steps, and between them the file would be another.
  if (size > maxObjectBytesAtOnce)
    throw new Failure('unsupported', 'S3 cannot change the attributes of a file of more than 5 GiB.', { path })
  const native = abilities.etagIsMd5 ? md5OfEtag(etag) : undefined
  const headers = headersOf(path, {
    kind: 'file',
    size,
    attributes,
    digests: digestsOf(facts.headers, size, native),
    etagIsMd5: native !== undefined,
  })
  const stored = await context.service.copy(key, key, {
    ifMatch: etag,
    ...(abilities.conditionalCopy ? { condition: { etag } } : {}),
    headers,
  })
  return fileEntry(context, path, { size, etag: stored.etag, modified: stored.modified, headers })
}

async function changeDirectory(
  { service }: S3Context,
  path: StorePath,
  { key, facts }: FoundDirectory,
  attributes: Attributes | undefined,
): Promise<Entry> {
  if (attributes === undefined) return directoryEntry(path, facts)
  if (path === rootPath) throw new Failure('unsupported', 'The root of a bucket cannot have attributes.', { path })
  const headers = headersOf(path, { kind: 'directory', size: 0, attributes })
  const target = facts === undefined ? directoryKey(path) : key
  const condition = facts === undefined ? ({ absent: true } as const) : { etag: facts.etag }
  const { modified } = await service.put(target, [], {
    headers,
    ...(service.abilities.conditionalPut ? { condition } : {}),
  })
  return directoryEntry(path, { modified, headers })
}

function unable(path: StorePath): Failure {
  return new Failure('unsupported', 'S3 keeps neither times nor flags that are given to it.', { path })
}

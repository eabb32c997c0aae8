import { isFailure } from '../../core/failure.js'
import { parentOf, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { requireConditions } from '../conditions.js'
import { notEmpty, notFound, refuseRoot } from '../refusals.js'
import type { RemoveOptions } from '../store.js'
import { changeTries, changing, type S3Context } from './context.js'
import { hasMarkedParent, putMarker } from './directories.js'
import { directoryEtag } from './entries.js'
import { directoryKey, fileKey, isAbsentByName, twinsOf } from './keys.js'
import { find, type FoundFile } from './look.js'

/** `Store.remove` */
export async function removeOne(context: S3Context, path: StorePath, options: RemoveOptions = {}): Promise<void> {
  const { ifMatch, signal } = options
  throwIfAborted(signal)
  refuseRoot(path)
  if (isAbsentByName(path)) throw notFound(path)
  const judgeAndRemove = async (isLastTry: boolean): Promise<boolean> => {
    const [found, isKept] = await Promise.all([find(context, path, signal), hasMarkedParent(context, path, signal)])
    if (found === undefined) throw notFound(path)
    const present = found.kind === 'file' ? found.facts : { etag: directoryEtag, modified: 0 }
    if (ifMatch !== undefined) requireConditions(path, present, { ifMatch })
    throwIfAborted(signal)
    if (!isKept) await putMarker(context, parentOf(path))
    if (found.kind === 'directory') {
      await removeDirectory(context, path, signal)
      await context.directories.changed()
    } else if (ifMatch === undefined) await context.service.remove(found.key)
    else return await removeVersion(context, found, isLastTry)
    return true
  }
  for (let tries = 1; tries <= changeTries; tries++)
    if (await changing(context, fileKey(path), () => judgeAndRemove(tries === changeTries))) return
}

/** Removes a file while it is the one that was found; false where it is another one by now. */
async function removeVersion({ service }: S3Context, found: FoundFile, isLastTry: boolean): Promise<boolean> {
  const { conditionalRemove } = service.abilities
  try {
    await service.remove(found.key, conditionalRemove ? { ifMatch: found.facts.etag } : {})
    return true
  } catch (error) {
    if (!isFailure(error, 'precondition') || isLastTry) throw error
    return false
  }
}

/** Removes the marker of a directory that holds nothing but itself. */
async function removeDirectory(
  { service }: S3Context,
  path: StorePath,
  signal: AbortSignal | undefined,
): Promise<void> {
  const keys = twinsOf(directoryKey(path))
  for (const key of keys) {
    const { objects } = await service.list({ prefix: key, max: 2, ...(signal === undefined ? {} : { signal }) })
    if (objects.some((object) => object.key !== key)) throw notEmpty(path)
  }
  for (const key of keys) await service.remove(key)
}

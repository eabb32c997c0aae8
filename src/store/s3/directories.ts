import { isFailure } from '../../core/failure.js'
import { parentOf, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { exists } from '../refusals.js'
import type { Entry } from '../store.js'
import { requestsAtOnce, type S3Context } from './context.js'
import { directoryEntry, headersOf } from './entries.js'
import { directoryKey, fileKey, twinsOf } from './keys.js'
import { lookAtTarget } from './look.js'
import type { ObjectHeaders, S3Service, WriteCondition } from './service.js'

/** `Store.makeDirectory` */
export async function makeDirectory(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<Entry> {
  return await makeDirectoryWith(context, path, headersOf(path, { kind: 'directory', size: 0 }), signal)
}

/** The same with a marker of such headers, for copies. */
export async function makeDirectoryWith(
  context: S3Context,
  path: StorePath,
  headers: ObjectHeaders,
  signal?: AbortSignal,
): Promise<Entry> {
  throwIfAborted(signal)
  if (path === rootPath) throw exists(path)
  const { service, turns } = context
  const make = async (careful: boolean): Promise<Entry> => {
    if ((await lookAtTarget(context, path, { careful, signal })).present !== undefined) throw exists(path)
    const { modified } = await service.put(directoryKey(path), [], {
      headers,
      ...absentWhere(service),
      ...(signal === undefined ? {} : { signal }),
    })
    await context.directories.changed()
    return directoryEntry(path, { modified, headers })
  }
  try {
    // The condition of this one write is all that it takes.
    if (service.abilities.conditionalPut) return await make(false)
    return await turns.inTurn(fileKey(path), () => make(true))
  } catch (error) {
    throw isFailure(error, 'precondition') ? exists(path) : error
  }
}

/** The condition that nothing has the key yet, where the service judges it. */
function absentWhere({ abilities }: S3Service): { readonly condition?: WriteCondition } {
  return abilities.conditionalPut ? { condition: { absent: true } } : {}
}

/**
 * Makes the markers of directories that a file has just been put below, as many at once as may be. A failure is of no
 * consequence: the file implies them.
 */
export async function makeMarkers(context: S3Context, paths: readonly StorePath[]): Promise<void> {
  for (let at = 0; at < paths.length; at += requestsAtOnce)
    await Promise.all(
      paths.slice(at, at + requestsAtOnce).map((path) => putMarker(context, path).catch(() => undefined)),
    )
}

/**
 * Sees to it that the directory above has a marker, so that it stays when the member at this path goes. To be awaited
 * before that, and only once it is sure that there is such a member. One request where it has a marker already.
 */
export async function keepParent(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<void> {
  if (!(await hasMarkedParent(context, path, signal))) await putMarker(context, parentOf(path))
}

/** Whether the directory above needs nothing to be done for it to stay, whatever goes below. */
export async function hasMarkedParent(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<boolean> {
  const parent = parentOf(path)
  if (parent === rootPath) return true
  for (const key of twinsOf(directoryKey(parent)))
    if ((await context.service.head(key, signal)) !== undefined) return true
  return false
}

/** Puts a plain marker where there is none; one that another has made meanwhile stays. */
export async function putMarker({ service, directories }: S3Context, path: StorePath): Promise<void> {
  const headers = headersOf(path, { kind: 'directory', size: 0 })
  try {
    await service.put(directoryKey(path), [], {
      headers,
      ...absentWhere(service),
    })
    await directories.changed()
  } catch (error) {
    if (!isFailure(error, 'precondition')) throw error
  }
}

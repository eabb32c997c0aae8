import { Failure, isFailure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import { removeTree } from '../../store/tree.js'
import type { TreeRemoved } from '../../store/tree.js'
import { evaluate, readPreconditions } from '../conditional.js'
import { problem, statusOf } from './failures.js'
import type { FileContext } from './file-context.js'

/** More are counted, not named. */
const mostNamed = 100

/** DELETE of a file or a tree: 204, or a problem that names what is still there. Throws like `removeTarget`. */
export async function deleteFile(context: FileContext): Promise<HttpResponse> {
  const { failures, omitted } = await removeTarget(context)
  if (failures.length === 0) return { status: 204, headers: [] }
  const statuses = new Set(failures.map(({ failure }) => statusOf(failure)))
  const [only = 409] = statuses
  const members = failures.slice(0, mostNamed).map(({ path, failure }) => ({ path, detail: failure.message }))
  const detail = `${failures.length + omitted} members could not be removed; the rest is gone.`
  return problem(context.request, statuses.size === 1 && only < 500 ? only : 409, detail, { members })
}

/**
 * Removes the file or the tree that a request names and resolves to the members that had to stay, none when all is gone (for a 207 in WebDAV).
 * Throws `not-found`, `precondition`, `denied`, `locked` where nothing was done.
 */
export async function removeTarget({ request, target, session }: FileContext): Promise<TreeRemoved> {
  const { path } = target
  const { store } = session
  const { signal } = request
  if (path === '/') throw new Failure('denied', 'The root cannot be removed.')
  const conditions = readPreconditions(request)
  let ifMatch: readonly string[] | undefined
  if (conditions !== undefined || target.slash) {
    const entry = await store.stat(path, signal)
    evaluate(conditions, entry, 'DELETE')
    if (entry === undefined || (entry.kind === 'file' && target.slash))
      throw new Failure('not-found', 'There is nothing of that name.')
    if (conditions !== undefined && entry.kind === 'file') ifMatch = [entry.etag]
  }
  try {
    await store.remove(path, { signal, ...(ifMatch !== undefined && { ifMatch }) })
    return { failures: [], omitted: 0 }
  } catch (error) {
    if (!isFailure(error, 'not-empty')) throw error
  }
  return removeTree(store, path, { signal })
}

import type { DavContext } from './context.js'
import { depthOf, overwriteOf } from './depth.js'
import { parseReference } from './destination.js'
import { failedMembers, hrefOf } from './multistatus.js'
import { Failure, isFailure } from '../../core/failure.js'
import { header, type HttpResponse } from '../../core/http.js'
import { copyTree, moveTree, type TreeTransferred } from '../../store/tree.js'

/** COPY (RFC 4918 §9.8). */
export async function copy(context: DavContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const depth = depthOf(request, [0, 'infinity'], 'infinity')
  return transfer(context, (to, overwrite) =>
    copyTree(session.store, target.path, to, { overwrite, depth, signal: request.signal }),
  )
}

/** MOVE (RFC 4918 §9.9). */
export async function move(context: DavContext): Promise<HttpResponse> {
  const { request, target, session } = context
  depthOf(request, ['infinity', 0], 'infinity')
  if (header(request, 'depth') === '0' && (await session.store.stat(target.path))?.kind === 'directory')
    throw new Failure('invalid', 'A collection moves with all that is in it: Depth must be infinity.')
  return transfer(context, (to, overwrite) =>
    moveTree(session.store, target.path, to, { overwrite, signal: request.signal }),
  )
}

async function transfer(
  { request, session }: DavContext,
  run: (to: ReturnType<typeof parseReference>['path'], overwrite: boolean) => Promise<TreeTransferred>,
): Promise<HttpResponse> {
  const destination = header(request, 'destination')
  if (destination === undefined) throw new Failure('invalid', 'COPY and MOVE need a Destination header.')
  const { path: to, slash } = parseReference(destination.trim(), request, session)
  if (to === '/') throw new Failure('denied', 'Nothing can take the place of the root.')
  const overwrite = overwriteOf(request)
  let result: TreeTransferred
  try {
    result = await run(to, overwrite)
  } catch (error) {
    if (!overwrite && isFailure(error, 'exists'))
      throw new Failure('precondition', 'The destination exists, and Overwrite is F.', { cause: error })
    throw error
  }
  if (result.failures.length > 0) return failedMembers(result, session.basePath)
  if (!result.created) return { status: 204, headers: [] }
  return { status: 201, headers: [['Location', hrefOf(to, slash, session.basePath)]] }
}

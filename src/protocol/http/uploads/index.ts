import { Failure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import type { ParsedTarget } from '../../../core/path.js'
import type { CallerPage } from '../../admin/caller-pages.js'
import type { Session } from '../../protocol.js'
import { beginUpload } from './begin.js'
import { completeUpload } from './complete.js'
import { arrivedParts, openUpload, partCount, shownPart } from './open-upload.js'
import { offerParts, putPart } from './parts.js'
import { isDirect } from './promised.js'
import { jsonAnswer, uploadsPath, type UploadsOptions } from './settings.js'

export { uploadsPath } from './settings.js'
export type { UploadsOptions } from './settings.js'

/**
 * Large files in parts, through this server or past it to the storage service itself; docs/uploads.md. An upload belongs
 * to its caller and its path, and is over when it becomes the file, is given up, or has got nothing for long. Throws `method`,
 * `not-found` and what is said at each request.
 */
export function createUploads(options: UploadsOptions): CallerPage {
  return async (request, target, session) => {
    submitTokens(request, session)
    const [id, step, number, ...more] = stepsOf(target)
    if (id === undefined) {
      requireMethod(request, 'POST')
      return beginUpload(request, session, options)
    }
    if (step === undefined) return ofOne(request, session, id, options)
    if (step === 'complete' && number === undefined) {
      requireMethod(request, 'POST')
      return completeUpload(request, session, id)
    }
    if (step !== 'parts' || more.length > 0) throw new Failure('not-found', 'There is no such page.')
    requireMethod(request, number === undefined ? 'POST' : 'PUT')
    const open = await openUpload(session, id)
    return number === undefined ? offerParts(request, session, id, open) : putPart(request, session, number, open)
  }
}

async function ofOne(
  request: HttpRequest,
  session: Session,
  id: string,
  { keepMilliseconds }: UploadsOptions,
): Promise<HttpResponse> {
  requireMethod(request, 'GET', 'DELETE')
  const { upload, plan } = await openUpload(session, id)
  if (request.method === 'DELETE') {
    await session.uploads.abort(upload.path, upload.id)
    return { status: 204, headers: [] }
  }
  const arrived = [...(await arrivedParts(session, upload)).values()]
  const last = arrived.reduce((latest, { modified }) => Math.max(latest, modified), upload.begun)
  return jsonAnswer(200, {
    id,
    path: upload.path,
    ...(plan.size !== undefined && { size: plan.size, parts: partCount(plan) }),
    partSize: plan.partSize,
    direct: await isDirect(session, upload),
    begun: new Date(upload.begun).toISOString(),
    expires: new Date(last + keepMilliseconds).toISOString(),
    arrived: arrived.map(shownPart),
  })
}

/** What stands behind `/-/uploads/`. */
function stepsOf({ path }: ParsedTarget): readonly string[] {
  return path.slice(uploadsPath.length).split('/').slice(1)
}

/** Lock tokens come in `If` (RFC 4918 §10.4) or `Lock-Token`, whatever else stands there: the guard asks whose they are. */
function submitTokens(request: HttpRequest, session: Session): void {
  const said = `${header(request, 'if') ?? ''} ${header(request, 'lock-token') ?? ''}`
  for (const [, token = ''] of said.matchAll(/<([^<>\s]{1,200})>/g)) session.holder.tokens.add(token)
}

function requireMethod({ method }: HttpRequest, ...allowed: readonly string[]): void {
  if (!allowed.includes(method)) throw new Failure('method', `Here only ${allowed.join(' and ')} can be used.`)
}

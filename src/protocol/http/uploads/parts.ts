import { Failure } from '../../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import type { Session } from '../../protocol.js'
import { announcedLength } from '../body.js'
import { checkDigests, expectedDigests } from '../digest-fields.js'
import { readFields, truthOf } from './json-body.js'
import { arrivedParts, mostParts, shownPart, type OpenUpload } from './open-upload.js'
import { forEach, promisedParts, promiseOf, requirePart, type Promised } from './promised.js'
import { jsonAnswer, offeredSeconds, uploadsPath } from './settings.js'

/**
 * `POST /-/uploads/ID/parts`: where each of these parts is to be sent, and how. With `look`, parts that have come
 * already are said to be `arrived` and have no URL. Throws `invalid`, `not-found`, `no-space`, `too-large`, `bad-digest`.
 */
export async function offerParts(
  request: HttpRequest,
  session: Session,
  id: string,
  { upload, plan }: OpenUpload,
): Promise<HttpResponse> {
  const fields = await readFields(request, ['parts', 'look'])
  const looks = truthOf(fields, 'look') ?? false
  const promised = promisedParts(fields, plan) ?? []
  const arrived = looks ? await arrivedParts(session, upload) : new Map<number, never>()
  const answers = new Map<number, object>()
  await forEach(promised, async (part) => {
    const there = arrived.get(part.number)
    if (there !== undefined && isAs(there, part)) answers.set(part.number, { number: part.number, arrived: true })
    else answers.set(part.number, await offered(session, id, { upload, plan }, part, looks))
  })
  const expires = new Date(Date.now() + offeredSeconds * 1000).toISOString()
  return jsonAnswer(200, { parts: promised.map(({ number }) => answers.get(number)), expires })
}

/** Whether that is the part which is meant. */
export function isAs(
  there: { readonly size: number; readonly digests: { readonly sha256?: Uint8Array; readonly md5?: Uint8Array } },
  { size, sha256, md5 }: Promised,
): boolean {
  const same = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
    one === undefined || other === undefined || Buffer.compare(one, other) === 0
  return there.size === size && same(there.digests.sha256, sha256) && same(there.digests.md5, md5)
}

async function offered(
  session: Session,
  id: string,
  { upload }: OpenUpload,
  part: Promised,
  looks: boolean,
): Promise<object> {
  const { number, sha256 } = part
  const promise = promiseOf(part)
  const direct =
    promise === undefined || part.size === 0
      ? undefined
      : await session.uploads.offer(upload.path, upload.id, number, promise, offeredSeconds)
  if (direct === undefined || promise === undefined)
    return {
      number,
      method: 'PUT',
      url: `${session.basePath}${uploadsPath}/${id}/parts/${number}`,
      headers: sha256 === undefined ? {} : { 'content-digest': `sha-256=:${Buffer.from(sha256).toString('base64')}:` },
      direct: false,
    }
  // What has come without anybody having asked for it since.
  if (looks && (await session.uploads.adopt(upload.path, upload.id, number, promise)) !== undefined)
    return { number, arrived: true }
  return { number, method: direct.method, url: direct.url.href, headers: direct.headers, direct: true }
}

/**
 * `PUT /-/uploads/ID/parts/N`: a part through this server. Throws `invalid`, `length-required`, `not-found`, `bad-digest`,
 * `incomplete`, `no-space`, `too-large`.
 */
export async function putPart(
  request: HttpRequest,
  session: Session,
  text: string,
  { upload, plan }: OpenUpload,
): Promise<HttpResponse> {
  const number = /^[1-9]\d{0,4}$/.test(text) ? Number(text) : 0
  if (number < 1 || number > mostParts) throw new Failure('invalid', `The number of a part is 1 to ${mostParts}.`)
  const length = announcedLength(request, 'content-length')
  if (length === undefined) throw new Failure('length-required', 'Say how long the part is: Content-Length.')
  requirePart(plan, number, length)
  const expected = expectedDigests(request)
  const part = await session.uploads.part(upload.path, upload.id, number, request.body, {
    length,
    signal: request.signal,
    digests: [...new Set([...expected.map(({ name }) => name), 'sha256' as const])],
    beforeCommit: async (staged) => checkDigests(expected, staged),
  })
  return jsonAnswer(200, shownPart(part))
}

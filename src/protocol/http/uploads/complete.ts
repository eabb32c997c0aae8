import type { UploadPart } from '../../../catalog/uploads.js'
import { Failure } from '../../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import { encodePath } from '../../../core/path.js'
import type { Digests, Staged, Written } from '../../../store/store.js'
import type { Session } from '../../protocol.js'
import { problem } from '../failures.js'
import { newValidators } from '../put.js'
import { digestOf, readFields, type Fields } from './json-body.js'
import { arrivedParts, findUpload, partCount, readId, storeConditionsOf, type OpenUpload, type Plan } from './open-upload.js' // prettier-ignore
import { isAs } from './parts.js'
import { forEach, isDirect, promisedParts, promiseOf } from './promised.js'
import { jsonAnswer } from './settings.js'

/** What was verified beside the sizes: each part by itself, or the SHA-256 of the whole file. */
type Verified = 'parts' | 'whole'

/**
 * `POST /-/uploads/ID/complete`: the file gets its name, 201 or 200. Where parts are missing, 409 with `missing`. To complete
 * it again gives the same for an hour. Throws `invalid`, `bad-digest`, `precondition`, `not-found`, `conflict`, and like a PUT.
 */
export async function completeUpload(request: HttpRequest, session: Session, id: string): Promise<HttpResponse> {
  const fields = await readFields(request, ['parts', 'sha256'])
  const open = await findUpload(session, id)
  const sha256 = digestOf(fields, 'sha256', 32)
  if (open === undefined) {
    const { path, id: inner } = readId(id)
    const written = await session.uploads.complete(path, inner, [])
    return answer(session, written, isKnown(written, sha256) ? 'whole' : 'parts')
  }
  const { upload, plan } = open
  const wanted = sha256 ?? (plan.sha256 === undefined ? undefined : Buffer.from(plan.sha256, 'hex'))
  if (plan.sha256 !== undefined && wanted !== undefined && Buffer.from(wanted).toString('hex') !== plan.sha256)
    throw new Failure('invalid', 'The upload was begun for another sha256.')
  const { parts, missing } = await gathered(session, open, fields)
  if (missing.length > 0)
    return problem(request, 409, `Parts are missing, or are not as they are described: ${shown(missing)}.`, { missing })
  const [only] = parts
  const single = parts.length === 1 ? only?.digests.sha256 : undefined
  const direct = await isDirect(session, upload)
  const computes = wanted !== undefined && single === undefined && !direct
  let verified: Verified = 'parts'
  const judge = ({ sha256: found }: Digests): void => {
    if (wanted === undefined || found === undefined) return
    if (Buffer.compare(wanted, found) !== 0)
      throw new Failure('bad-digest', 'The file that has come does not have the sha256 that was said.')
    verified = 'whole'
  }
  if (single !== undefined) judge({ sha256: single })
  const written = await session.uploads.complete(upload.path, upload.id, parts, {
    ...storeConditionsOf(plan),
    attributes: upload.attributes,
    parents: true,
    signal: request.signal,
    ...(plan.modified !== undefined && { modified: plan.modified }),
    ...(computes && { digests: ['sha256' as const] }),
    ...(single !== undefined && { knownDigests: () => ({ sha256: single }) }),
    beforeCommit: async (staged: Staged) => judge(staged.digests),
  })
  return answer(session, written, verified)
}

/** The parts of the file in their order, and the numbers of those that are not there as they are described. */
async function gathered(
  session: Session,
  { upload, plan }: OpenUpload,
  fields: Fields,
): Promise<{ readonly parts: readonly UploadPart[]; readonly missing: readonly number[] }> {
  const arrived = new Map(await arrivedParts(session, upload))
  const promised =
    promisedParts(fields, plan) ??
    [...arrived.values()].map(({ number, size }) => ({ number, size, sha256: undefined, md5: undefined }))
  const missing: number[] = []
  await forEach(promised, async (part) => {
    const there = arrived.get(part.number)
    if (there !== undefined && isAs(there, part)) return
    const promise = promiseOf(part)
    const adopted = promise && (await session.uploads.adopt(upload.path, upload.id, part.number, promise))
    if (adopted === undefined) missing.push(part.number)
    else arrived.set(part.number, adopted)
  })
  const numbers = new Set(promised.map(({ number }) => number))
  for (const number of expectedNumbers(plan, numbers)) if (!numbers.has(number)) missing.push(number)
  const parts = [...numbers].sort((one, other) => one - other).flatMap((number) => arrived.get(number) ?? [])
  return { parts, missing: missing.sort((one, other) => one - other) }
}

/** All numbers up to the last one: a file has no holes. */
function expectedNumbers(plan: Plan, numbers: ReadonlySet<number>): readonly number[] {
  const count = partCount(plan) ?? Math.max(1, ...numbers)
  return Array.from({ length: count }, (_, index) => index + 1)
}

function isKnown({ entry }: Written, sha256: Uint8Array | undefined): boolean {
  const { digests } = entry
  return sha256 !== undefined && digests?.sha256 !== undefined && Buffer.compare(sha256, digests.sha256) === 0
}

function shown(numbers: readonly number[]): string {
  const some = numbers.slice(0, 20).join(', ')
  return numbers.length > 20 ? `${some} and ${numbers.length - 20} more` : some
}

function answer(session: Session, { entry, created }: Written, verified: Verified): HttpResponse {
  const { path, size, etag, modified } = entry
  const href = session.basePath + encodePath(path)
  return jsonAnswer(
    created ? 201 : 200,
    { path, href, size, etag, modified: new Date(modified).toISOString(), created, verified },
    [...newValidators(entry), ...(created ? ([['Location', href]] as const) : [])],
  )
}

import { principalOf } from '../../../auth/identity.js'
import type { Upload } from '../../../catalog/uploads.js'
import { Failure, isFailure } from '../../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import { nameOf, rootPath, toPath, type StorePath } from '../../../core/path.js'
import type { Entry } from '../../../store/store.js'
import { evaluate } from '../../conditional.js'
import type { Session } from '../../protocol.js'
import { contentTypeToKeep } from '../content-type.js'
import { digestOf, numberOf, readFields, textOf, type Fields } from './json-body.js'
import { conditionsOf, mostParts, notesOf, partCount, shownId, type Plan } from './open-upload.js'
import { isDirect } from './promised.js'
import { jsonAnswer, uploadsPath, type UploadsOptions } from './settings.js'

const mebibyte = 2 ** 20
const usualPartBytes = 8 * mebibyte
/** S3 has no smaller ones, but for the last. */
const leastPartBytes = 5 * mebibyte
const mostPartBytes = 5 * 2 ** 30
/** What S3 holds in one object. */
const mostFileBytes = 5 * 2 ** 40

const known = ['path', 'size', 'type', 'sha256', 'modified', 'ifMatch', 'ifNoneMatch', 'partSize']

/**
 * `POST /-/uploads`: 201 with what was agreed upon. What would be refused when all bytes have come is refused now:
 * conditions, rights, locks, sizes, quotas. Throws `invalid`, `too-large`, `no-space`, `precondition`, `is-directory`, `denied`,
 * `locked`, `unsupported`.
 */
export async function beginUpload(
  request: HttpRequest,
  session: Session,
  options: UploadsOptions,
): Promise<HttpResponse> {
  const fields = await readFields(request, known)
  const path = pathOf(fields)
  const attributes = attributesOf(fields, path)
  const wished = planOf(fields)
  await judge(session, path, wished, request.signal)
  const begin = (plan: Plan): Promise<Upload> =>
    session.uploads.begin(path, {
      owner: principalOf(session.identity),
      attributes,
      ...(plan.size !== undefined && { size: plan.size }),
      notes: notesOf(plan),
    })
  const { size } = wished
  const { mostRelayedBytes = Infinity } = options
  let plan = wished
  let upload = await begin(plan)
  const direct = await isDirect(session, upload)
  if (!direct && plan.partSize > mostRelayedBytes) {
    // Only an upload knows whether its parts go past this server, and what it was begun with stays.
    await session.uploads.abort(path, upload.id)
    plan = narrowed(plan, mostRelayedBytes)
    upload = await begin(plan)
  }
  const id = shownId(upload)
  const url = `${session.basePath}${uploadsPath}/${id}`
  return jsonAnswer(
    201,
    {
      id,
      path,
      url,
      ...(size !== undefined && { size, parts: partCount(plan) }),
      partSize: plan.partSize,
      direct,
      expires: new Date(upload.begun + options.keepMilliseconds).toISOString(),
    },
    [['Location', url]],
  )
}

function pathOf(fields: Fields): StorePath {
  const text = textOf(fields, 'path')
  if (text === undefined) throw new Failure('invalid', 'path must say where the file is to be.')
  const path = toPath(text)
  if (path === rootPath) throw new Failure('is-directory', 'The root is a directory.', { path })
  return path
}

function attributesOf(fields: Fields, path: StorePath): Readonly<Record<string, string>> {
  const type = contentTypeToKeep(nameOf(path), textOf(fields, 'type'))
  return type === undefined ? {} : { 'content-type': type }
}

function planOf(fields: Fields): Plan {
  const size = numberOf(fields, 'size', 0, Number.MAX_SAFE_INTEGER)
  if (size !== undefined && size > mostFileBytes)
    throw new Failure('too-large', 'No file has more than 5 TiB.', { size: mostFileBytes })
  const wish = numberOf(fields, 'partSize', 1, Number.MAX_SAFE_INTEGER) ?? usualPartBytes
  const enough = size === undefined ? 0 : Math.ceil(size / mostParts / mebibyte) * mebibyte
  const partSize = Math.min(Math.max(wish, leastPartBytes, enough), mostPartBytes)
  const sha256 = digestOf(fields, 'sha256', 32)
  const plan = {
    size,
    partSize,
    sha256: sha256 && Buffer.from(sha256).toString('hex'),
    modified: numberOf(fields, 'modified', 0, 8_640_000_000_000_000),
    ifMatch: textOf(fields, 'ifMatch'),
    ifNoneMatch: textOf(fields, 'ifNoneMatch'),
  }
  const { ifMatch, ifNoneMatch } = conditionsOf(plan)
  if (
    (plan.ifMatch !== undefined && ifMatch === undefined) ||
    (plan.ifNoneMatch !== undefined && ifNoneMatch === undefined)
  )
    // prettier-ignore
    throw new Failure('invalid', 'ifMatch and ifNoneMatch must be * or ETags, in their quotes.')
  return plan
}

/** The same in parts that fit through a small door. Throws `too-large` where there would be too many of them. */
function narrowed(plan: Plan, partSize: number): Plan {
  const most = partSize * mostParts
  if (plan.size !== undefined && plan.size > most)
    throw new Failure('too-large', `A file may have at most ${most} bytes here.`, { size: most })
  return { ...plan, partSize }
}

/** Whoever may not look is told of the rest in the end. */
async function judge(session: Session, path: StorePath, plan: Plan, signal: AbortSignal): Promise<void> {
  const { store } = session
  // Where the kernel decides, grants alone say too little.
  if (!(await store.permits('create', path)) && !(await store.permits('replace', path)))
    throw new Failure('denied', 'This path may not be written.', { path })
  let present: Entry | undefined
  try {
    present = await store.stat(path, signal)
  } catch (error) {
    if (isFailure(error, 'denied')) return
    throw error
  }
  if (present?.kind === 'directory') throw new Failure('is-directory', 'There is a directory of that name.', { path })
  evaluate(conditionsOf(plan), present, 'PUT')
}

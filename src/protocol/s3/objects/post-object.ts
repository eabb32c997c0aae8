import { Failure, isFailure } from '../../../core/failure.js'
import type { Header, HttpResponse } from '../../../core/http.js'
import { encodePath } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import { parseXml } from '../../../core/xml.js'
import type { Attributes } from '../../../store/store.js'
import { keyTarget } from '../address.js'
import { checksumNames } from '../checksums.js'
import type { S3Context } from '../context.js'
import { s3Etag } from '../etag.js'
import { attributesOfForm } from './object-attributes.js'
import { writeConditions } from './object-conditions.js'
import { tagsAttribute, tagsOfXml, writeTags } from './object-tags.js'
import { storeObject } from './put-object.js'
import { malformed } from '../request-xml.js'
import { root, text, xmlResponse } from '../xml.js'

/**
 * POST Object: the form of a browser, whose fields the verifier has found to be as its policy wants them. Throws like
 * PutObject; `invalid` (`InvalidArgument`) without a key.
 */
export async function postObject(context: S3Context): Promise<HttpResponse> {
  const { request, target, session } = context
  const { form, body } = request
  if (form === undefined) throw new Failure('invalid', 'The body must be a form.', { reason: 'MalformedPOSTRequest' })
  const { fields } = form
  const key = fields.get('key') ?? ''
  if (key === '')
    throw new Failure('invalid', 'The form must contain a field named key.', { reason: 'InvalidArgument' })
  const place = keyTarget(target.bucketPath, key)
  const attributes = { ...attributesOfForm(fields), ...tagsOfForm(fields) }
  const conditions = await writeConditions(request, place.path, session.store)
  const declared = checksumNames.filter((name) => fields.has(`x-amz-checksum-${name}`))
  const entry = await storeObject(context, place, body, { attributes, conditions, declared })
  return answer(context, place.key, `"${s3Etag(entry)}"`)
}

function answer({ request, target }: S3Context, key: string, etag: string): HttpResponse {
  const fields = request.form?.fields
  const redirect = redirection(fields?.get('success_action_redirect') ?? fields?.get('redirect'))
  const bucket = target.bucket ?? ''
  if (redirect !== undefined && request.signedBy === 'form') {
    for (const [name, value] of Object.entries({ bucket, key, etag })) redirect.searchParams.set(name, value)
    const headers: Header[] = [['Location', redirect.href], ['ETag', etag], ['Content-Length', '0']] // prettier-ignore
    return { status: 303, headers }
  }
  const location = locationOf(request, key)
  const headers: Header[] = [['ETag', etag], ['Location', location]] // prettier-ignore
  const status = fields?.get('success_action_status')
  if (status === '201')
    return xmlResponse(
      201,
      root('PostResponse', text('Location', location), text('Bucket', bucket), text('Key', key), text('ETag', etag)),
      headers,
    )
  return status === '200' ? { status: 200, headers: [...headers, ['Content-Length', '0']] } : { status: 204, headers }
}

/** A form without a signature could send people anywhere, so only a policy can allow it; what is no such URL counts as absent. */
function redirection(field: string | undefined): URL | undefined {
  if (field === undefined || !URL.canParse(field)) return undefined
  const url = new URL(field)
  return url.protocol === 'https:' || url.protocol === 'http:' ? url : undefined
}

function locationOf({ origin, target }: S3Context['request'], key: string): string {
  const mark = target.indexOf('?')
  const bucket = (mark === -1 ? target : target.slice(0, mark)).replace(/\/$/, '')
  return `${origin.scheme}://${origin.authority}${bucket}${encodePath(`/${key}` as StorePath)}`
}

/** The tags of a form are a document in a field. */
function tagsOfForm(fields: ReadonlyMap<string, string>): Attributes {
  const field = fields.get('tagging')
  if (field === undefined || field === '') return {}
  try {
    const document = parseXml(Buffer.from(field))
    if (document.name !== 'Tagging') throw malformed('The field tagging must be a Tagging document.')
    const tags = writeTags(tagsOfXml(document))
    return tags === undefined ? {} : { [tagsAttribute]: tags }
  } catch (error) {
    if (!isFailure(error, 'invalid', 'too-large', 'media-type') || error.reason === 'InvalidTag') throw error
    throw malformed('The field tagging must be a Tagging document.', error)
  }
}

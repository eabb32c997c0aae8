import { Failure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import { requireBucket } from './bucket.js'
import type { S3Context } from '../context.js'
import { corsAttribute, corsRulesXml, keptCorsRules, readCorsRules, writeCorsRules } from './cors-rules.js'
import { malformed, readS3Xml } from '../request-xml.js'
import { xmlResponse } from '../xml.js'

/** GetBucketCors. Throws `not-found` (`NoSuchCORSConfiguration`). */
export async function getBucketCors(context: S3Context): Promise<HttpResponse> {
  const rules = keptCorsRules((await requireBucket(context)).attributes)
  if (rules.length > 0) return xmlResponse(200, corsRulesXml(rules))
  throw new Failure('not-found', 'The bucket has no rules for pages of other origins.', {
    reason: 'NoSuchCORSConfiguration',
  })
}

/** PutBucketCors: kept with the bucket's folder, for whoever may change that. Throws what `readCorsRules` throws. */
export async function putBucketCors(context: S3Context): Promise<HttpResponse> {
  await requireBucket(context)
  const configuration = await readS3Xml(context.request.body, 'CORSConfiguration', 64 * 1024)
  if (configuration === undefined) throw malformed('A CORSConfiguration is needed.')
  await keep(context, writeCorsRules(readCorsRules(configuration)))
  return { status: 200, headers: [['Content-Length', '0']] }
}

/** DeleteBucketCors: 204, whether there were any rules or not. */
export async function deleteBucketCors(context: S3Context): Promise<HttpResponse> {
  const { attributes } = await requireBucket(context)
  // Whoever may not change the folder is told so, whatever it holds.
  if (attributes?.[corsAttribute] !== undefined || !(await mayChange(context))) await keep(context, undefined)
  return { status: 204, headers: [] }
}

function mayChange({ session, target }: S3Context): Promise<boolean> {
  return session.store.permits('replace', target.bucketPath)
}

async function keep(context: S3Context, rules: string | undefined): Promise<void> {
  const { session, target } = context
  const { attributes = {} } = await requireBucket(context)
  const others = Object.fromEntries(Object.entries(attributes).filter(([name]) => name !== corsAttribute))
  await session.store.change(target.bucketPath, {
    attributes: rules === undefined ? others : { ...others, [corsAttribute]: rules },
  })
}

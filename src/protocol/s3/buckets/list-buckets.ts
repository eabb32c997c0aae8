import { Failure, isFailure } from '../../../core/failure.js'
import type { HttpResponse } from '../../../core/http.js'
import { nameOf, rootPath } from '../../../core/path.js'
import { compareKeys } from '../../../store/key-order.js'
import type { Entry } from '../../../store/store.js'
import type { S3Context } from '../context.js'
import { readToken, writeToken } from '../listings/list-token.js'
import { ownerXml } from '../owner.js'
import { element, root, text, xmlDate, xmlResponse } from '../xml.js'

/** As many as S3 gives in one answer. */
const mostBuckets = 10_000

/** Everything whose pages a token of this operation can belong to. */
const tokenScope = 'buckets'

/** ListBuckets: the folders at the top, and those that are buckets by the configuration, as far as the caller sees them. */
export async function listBuckets(context: S3Context): Promise<HttpResponse> {
  const { query, session, settings } = context
  const prefix = query.get('prefix') ?? ''
  const region = query.get('bucket-region')
  const most = query.number('max-buckets', mostBuckets) ?? mostBuckets
  if (most === 0)
    throw new Failure('invalid', `max-buckets must be from 1 to ${mostBuckets}.`, { reason: 'InvalidArgument' })
  const token = query.get('continuation-token') ?? ''
  const after = token === '' ? '' : readToken(token, [tokenScope, prefix])
  const isHere = region === undefined || region === settings.region
  const found = isHere ? await bucketsOf(context, prefix) : new Map<string, number>()
  const names = [...found.keys()].filter((name) => compareKeys(name, after) > 0).sort(compareKeys)
  const page = names.slice(0, most)
  const isPaged = ['prefix', 'max-buckets', 'continuation-token', 'bucket-region'].some((name) => query.has(name))
  const buckets = page.map((name) =>
    element(
      'Bucket',
      text('Name', name),
      text('CreationDate', xmlDate(found.get(name) ?? 0)),
      text('BucketRegion', isPaged ? settings.region : undefined),
    ),
  )
  const last = page.at(-1)
  const next = names.length > page.length && last !== undefined ? writeToken(last, [tokenScope, prefix]) : undefined
  return xmlResponse(
    200,
    root(
      'ListAllMyBucketsResult',
      element('Owner', ownerXml(session)),
      element('Buckets', ...buckets),
      text('ContinuationToken', next),
      text('Prefix', query.get('prefix')),
    ),
  )
}

/** When the buckets that a caller sees were made, by their names. */
async function bucketsOf({ request, session, settings }: S3Context, prefix: string): Promise<Map<string, number>> {
  const { store } = session
  const { signal } = request
  const found = new Map<string, number>()
  for await (const entries of store.list(rootPath, { prefix: `/${prefix}`, signal }))
    for (const entry of entries) if (entry.kind === 'directory') found.set(nameOf(entry.path), madeAt(entry))
  for (const [name, path] of settings.buckets) {
    if (!name.startsWith(prefix)) continue
    // The name stands for this folder only, whatever lies at the top.
    found.delete(name)
    try {
      const entry = await store.stat(path, signal)
      if (entry?.kind === 'directory') found.set(name, madeAt(entry))
    } catch (error) {
      if (!isFailure(error, 'denied')) throw error
    }
  }
  return found
}

function madeAt({ created, modified }: Entry): number {
  return created ?? modified
}

import { Failure } from '../../../core/failure.js'
import { header, httpDate } from '../../../core/http.js'
import type { Header } from '../../../core/http.js'
import { nameOf } from '../../../core/path.js'
import type { Entry } from '../../../store/store.js'
import { guessContentType, isActive, isFieldValue } from '../../http/content-type.js'
import { checksumHeaders, checksumsOf } from '../checksums.js'
import type { S3Context } from '../context.js'
import { s3Etag } from '../etag.js'
import { metadataPrefix, systemHeaders } from './object-attributes.js'
import { tagCount } from './object-tags.js'

const titles: Readonly<Record<(typeof systemHeaders)[number], string>> = {
  'cache-control': 'Cache-Control',
  'content-disposition': 'Content-Disposition',
  'content-encoding': 'Content-Encoding',
  'content-language': 'Content-Language',
  expires: 'Expires',
}

/** What S3 says of bytes of which it has been told nothing. */
const unknownType = 'binary/octet-stream'

/** `ETag` and `Last-Modified`. */
export function validatorsOf(entry: Entry): Header[] {
  return [
    ['ETag', `"${s3Etag(entry)}"`],
    ['Last-Modified', httpDate(entry.modified)],
  ]
}

/**
 * The headers of an object in an answer to GET and HEAD, without its length; `whole` where all its bytes are meant:
 * checksums are of those. Content is given back exactly as it was named, but a browser must not guess another type, nor
 * run it at our origin. Throws `invalid` where a query overrides headers and may not, or with what cannot stand in one.
 */
export function objectHeaders(context: S3Context, entry: Entry, whole: boolean): Header[] {
  const { request } = context
  const overrides = overridesOf(context)
  const headers = validatorsOf(entry)
  const type = overrides?.get('content-type') ?? typeOf(entry)
  headers.push(['Accept-Ranges', 'bytes'], ['Content-Type', type], ['X-Content-Type-Options', 'nosniff'])
  if (isActive(type)) headers.push(['Content-Security-Policy', 'sandbox'])
  const attributes = entry.attributes ?? {}
  for (const name of systemHeaders) {
    const value = overrides?.get(name) ?? attributes[name]
    if (value !== undefined && isFieldValue(value)) headers.push([titles[name], value])
  }
  for (const name in attributes) {
    const value = attributes[name]
    if (value !== undefined && name.startsWith(metadataPrefix) && isFieldValue(value)) headers.push([name, value])
  }
  const tags = tagCount(entry)
  if (tags > 0) headers.push(['x-amz-tagging-count', String(tags)])
  if (whole && header(request, 'x-amz-checksum-mode')?.toUpperCase() === 'ENABLED')
    headers.push(...checksumHeaders(checksumsOf(entry)))
  return headers
}

/** The media type that an object was put with, else what its name stands for. */
function typeOf({ kind, path, attributes }: Entry): string {
  const stored = attributes?.['content-type']
  if (stored !== undefined && isFieldValue(stored)) return stored
  if (kind === 'directory') return 'application/x-directory'
  const guessed = guessContentType(nameOf(path))
  return guessed === 'application/octet-stream' ? unknownType : guessed
}

/** Headers that a query asks for in place of those that are kept. */
function overridesOf({ request, target, query }: S3Context): ReadonlyMap<string, string> | undefined {
  if (!target.query.includes('response-')) return undefined
  const overrides = new Map<string, string>()
  for (const name of ['content-type', ...systemHeaders]) {
    const value = query.get(`response-${name}`)
    if (value === undefined) continue
    if (request.signedBy === 'nobody')
      throw new Failure('invalid', 'Only signed requests can ask for other headers.', { reason: 'InvalidRequest' })
    if (!isFieldValue(value))
      throw new Failure('invalid', `The value of response-${name} cannot stand in a header.`, {
        reason: 'InvalidArgument',
      })
    overrides.set(name, value)
  }
  return overrides
}

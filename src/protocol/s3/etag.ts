import { hash } from 'node:crypto'
import type { Entry } from '../../store/store.js'

/**
 * The ETag of an object as S3 shows it, without quotes: the one that a store of S3 itself has given, which listings tell
 * as well; what was computed when it was put together of parts, the MD5 of its bytes where that is known, else something
 * opaque of the form that no client takes for an MD5.
 */
export function s3Etag({ etag, attributes, digests }: Pick<Entry, 'etag' | 'attributes' | 'digests'>): string {
  if (isOfS3(etag)) return etag
  const kept = attributes?.['s3-etag']
  if (kept !== undefined) return kept
  const md5 = digests?.md5
  return md5 === undefined ? opaqueEtag({ etag }) : Buffer.from(md5).toString('hex')
}

/** Whether nothing better can be shown of a file than that: nobody has computed the MD5 of its bytes yet. */
export function hasOpaqueEtag({
  kind,
  etag,
  attributes,
  digests,
}: Pick<Entry, 'kind' | 'etag' | 'attributes' | 'digests'>): boolean {
  return kind === 'file' && digests?.md5 === undefined && attributes?.['s3-etag'] === undefined && !isOfS3(etag)
}

/** An MD5, or what S3 gives objects that came in parts. */
function isOfS3(etag: string): boolean {
  return /^[0-9a-f]{32}(?:-\d{1,5})?$/.test(etag)
}

/** What stands for the ETag of an object for as long as the MD5 of its bytes is not known. */
export function opaqueEtag({ etag }: Pick<Entry, 'etag'>): string {
  return `${hash('md5', etag)}-1`
}

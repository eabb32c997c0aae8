import { lookup } from 'mime-types'
import { nameOf } from '../../core/path.js'
import type { Entry } from '../../store/store.js'

const unknownType = 'application/octet-stream'
const byExtension = new Map<string, string>()

/** The media type that a name's extension stands for, with `charset=utf-8` for text; `application/octet-stream` else. */
export function guessContentType(name: string): string {
  const dot = name.lastIndexOf('.')
  if (dot <= 0) return unknownType
  const extension = name.slice(dot + 1).toLowerCase()
  const known = byExtension.get(extension)
  if (known !== undefined) return known
  const found = lookup(extension)
  // Only known extensions are kept: there are a thousand of them, but no end of others.
  if (found === false) return unknownType
  const type = found.startsWith('text/') ? `${found}; charset=utf-8` : found
  byExtension.set(extension, type)
  return type
}

/** What `Content-Type` says of a file: the type it was stored with, else what its name stands for. */
export function contentTypeOf(entry: Entry): string {
  const stored = entry.attributes?.['content-type']
  return stored !== undefined && isFieldValue(stored) && stored !== '' ? stored : guessContentType(nameOf(entry.path))
}

/** The attribute under which the `Content-Type` of an upload is kept; undefined where the name says the same or the type says nothing. */
export function contentTypeToKeep(name: string, sent: string | undefined): string | undefined {
  if (sent === undefined || sent.length > 256 || !/^[\w!#$&^.+-]+\/[\w!#$&^.+-]+[ \t]*(?:;|$)/.test(sent))
    return undefined
  const essence = essenceOf(sent)
  if (essence === unknownType || essence === 'application/x-www-form-urlencoded') return undefined
  const charset = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(sent)?.[1]?.toLowerCase()
  const plain = charset === undefined || charset === 'utf-8' || charset === 'utf8'
  return essence === essenceOf(guessContentType(name)) && plain ? undefined : sent
}

/** `type/subtype` in lower case, without parameters. */
export function essenceOf(type: string): string {
  const end = type.indexOf(';')
  return (end === -1 ? type : type.slice(0, end)).trim().toLowerCase()
}

/** Whether a browser would run what is in it: such content is offered for download, never shown at our origin. */
export function isActive(type: string): boolean {
  const essence = essenceOf(type)
  return activeTypes.has(essence) || essence.endsWith('+xml') || !essence.includes('/')
}

const activeTypes: ReadonlySet<string> = new Set([
  'text/html',
  'text/xml',
  'application/xml',
  'text/xsl',
  'text/javascript',
  'application/javascript',
  'application/x-javascript',
  'application/ecmascript',
  'text/ecmascript',
  'text/vbscript',
  'text/cache-manifest',
  'application/x-shockwave-flash',
  'application/x-httpd-php',
  'message/rfc822',
  'multipart/related',
  'multipart/x-mixed-replace',
])

/** `Content-Disposition` for download under a name of any characters (RFC 6266, RFC 8187): plain ASCII, no quotes to escape. */
export function attachment(name: string): string {
  if (/^[\w .()+,@-]+$/.test(name)) return `attachment; filename="${name}"`
  const plain = name.replace(/[^\w .()+,@-]/g, '_')
  const encoded = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (mark) => '%' + mark.charCodeAt(0).toString(16).toUpperCase(),
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}

/** Whether a text may stand in a header as it is (RFC 9110 §5.5). */
export function isFieldValue(text: string): boolean {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
}

import { header } from '../core/http.js'
import type { HttpRequest } from '../core/http.js'
import { bucketOfHost, hostNameOf } from '../protocol/s3/address.js'
import { davMethods } from '../protocol/webdav/index.js'

/** The dialects that a listener can be told to speak. A drop answers at its own paths only. */
export const surfaceNames = ['webdav', 'http', 's3', 'drop'] as const

export type SurfaceName = (typeof surfaceNames)[number]

/** Those that answer at any path. */
export type TreeSurface = Exclude<SurfaceName, 'drop'>

/**
 * Which dialect answers a request, decided once: the only one its listener speaks; S3 for a host of `s3Hosts` (lower
 * case) or below one, and for what is signed as S3 signs in a header or a query; WebDAV for a method that only WebDAV
 * has, HTTP for an API key or a bearer token, WebDAV for everything else; what a listener does not speak goes to the first that it does.
 * Drops, whose paths are looked at before, only where the listener speaks nothing else.
 */
export function surfaceOf(
  request: HttpRequest,
  listened: readonly SurfaceName[],
  s3Hosts: readonly string[] = [],
): SurfaceName {
  const spoken = listened.filter((name) => name !== 'drop')
  if (spoken.length === 0 && listened.length > 0) return 'drop'
  const [only, ...others] = spoken
  if (only !== undefined && others.length === 0) return only
  const speaksS3 = only === undefined || spoken.includes('s3')
  if (speaksS3 && (isS3Host(request, s3Hosts) || isSigned(request))) return 's3'
  const found = unsignedSurface(request)
  // Of several none is S3 alone, so there is another.
  return only === undefined || spoken.includes(found) ? found : (spoken.find((name) => name !== 's3') ?? found)
}

function unsignedSurface(request: HttpRequest): TreeSurface {
  if (davMethods.has(request.method)) return 'webdav'
  if (request.headers.has('x-api-key')) return 'http'
  return /^bearer /i.test(header(request, 'authorization') ?? '') ? 'http' : 'webdav'
}

function isS3Host(request: HttpRequest, hosts: readonly string[]): boolean {
  return hosts.length > 0 && (hosts.includes(hostNameOf(request)) || bucketOfHost(request, hosts) !== undefined)
}

/** AWS Signature Version 4, or 2, which is told by name that it is too old; and a browser's question whether a page may send such. */
function isSigned({ method, headers, target }: HttpRequest): boolean {
  if (method === 'OPTIONS' && /\bx-amz-date\b/i.test(header({ headers }, 'access-control-request-headers') ?? ''))
    return true
  const authorization = headers.get('authorization')
  if (authorization !== undefined) return authorization.some((value) => /^AWS(?:4-|\s)/.test(value))
  const mark = target.indexOf('?')
  return mark !== -1 && /[?&](?:X-Amz-(?:Algorithm|Credential|Signature)|AWSAccessKeyId)=/.test(target.slice(mark))
}

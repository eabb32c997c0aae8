import type { DavContext } from './context.js'
import { principalHref } from './live-properties.js'
import { multistatus, propstat } from './multistatus.js'
import { emptyElement, namesIn } from './propfind-request.js'
import { readDavXml } from './request-xml.js'
import { Failure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import { segmentsOf } from '../../core/path.js'
import { childNamed, davNamespace, escapeXml } from '../../core/xml.js'

/** PROPFIND of `/-/principals/NAME`, where `current-user-principal` leads: everybody sees themselves only (RFC 5397, RFC 3744 §4). */
export async function principal({ request, target, session }: DavContext): Promise<HttpResponse> {
  const { identity } = session
  if (request.method !== 'PROPFIND') throw new Failure('method', 'A principal can only be asked for its properties.')
  const [, , name] = segmentsOf(target.path)
  if (name !== identity.name.normalize('NFC') || identity.source === 'anonymous')
    throw new Failure('not-found', 'There is no such principal.')
  const href = principalHref(session)
  const values: Readonly<Record<string, string>> = {
    resourcetype: '<D:resourcetype><D:principal/></D:resourcetype>',
    displayname: `<D:displayname>${escapeXml(identity.name)}</D:displayname>`,
    'principal-URL': `<D:principal-URL><D:href>${href}</D:href></D:principal-URL>`,
    'current-user-principal': `<D:current-user-principal><D:href>${href}</D:href></D:current-user-principal>`,
  }
  const root = await readDavXml(request)
  const prop = root === undefined ? undefined : childNamed(root, davNamespace, 'prop')
  const asked = prop === undefined ? undefined : namesIn(prop)
  if (asked === undefined || asked.length === 0)
    return multistatus(
      `<D:response><D:href>${href}</D:href>${propstat(Object.values(values).join(''), 200)}</D:response>`,
    )
  let found = ''
  let missing = ''
  for (const each of asked) {
    const value = each.namespace === davNamespace ? values[each.name] : undefined
    if (value === undefined) missing += emptyElement(each)
    else found += value
  }
  return multistatus(
    `<D:response><D:href>${href}</D:href>${propstat(found, 200)}${propstat(missing, 404)}</D:response>`,
  )
}

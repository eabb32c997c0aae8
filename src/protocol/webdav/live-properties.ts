import { hrefElement } from './multistatus.js'
import { privilegesOf, type Refused } from './privileges.js'
import type { Session } from '../protocol.js'
import { contentTypeOf } from '../http/content-type.js'
import { isKnownTime } from '../known-time.js'
import type { Lock } from '../../catalog/locks.js'
import type { Property, PropertyName } from '../../catalog/properties.js'
import { httpDate } from '../../core/http.js'
import { encodeSegment, nameOf } from '../../core/path.js'
import { davNamespace, escapeXml } from '../../core/xml.js'
import type { Entry, Space } from '../../store/store.js'

/** A resource as PROPFIND sees it. */
export interface Resource {
  readonly entry: Entry
  /** Every lock that applies to it. */
  readonly locks: readonly Lock[]
  readonly dead: readonly Property[]
  readonly session: Session
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Known only where it was asked for. */
  readonly space?: Space | undefined
  readonly syncToken?: string | undefined
  /** What the medium refuses of what is granted; known only where the privileges were asked for. */
  readonly refused?: Refused | undefined
}

/** Where a property that the server computes comes from. */
export interface LiveProperty extends PropertyName {
  /** `allprop` includes it; others must be asked for by name. */
  readonly all: boolean
  /** The whole element, or undefined where this resource has no such property. `D` is bound to `DAV:`. */
  value(resource: Resource): string | undefined
}

export const apacheNamespace = 'http://apache.org/dav/props/'
export const microsoftNamespace = 'urn:schemas-microsoft-com:'
export const ownCloudNamespace = 'http://owncloud.org/ns'

const supportedLock =
  '<D:supportedlock><D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>' +
  '<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry></D:supportedlock>'

const supportedReports =
  '<D:supported-report-set><D:supported-report><D:report><D:sync-collection/></D:report></D:supported-report></D:supported-report-set>'

/** Every live property (RFC 4918 §15, RFC 4331, RFC 3744 §5, RFC 3253 §3.1.5, RFC 6578 §4, and what clients ask of others). */
export const liveProperties: readonly LiveProperty[] = [
  dav('resourcetype', true, ({ entry }) =>
    entry.kind === 'directory' ? '<D:resourcetype><D:collection/></D:resourcetype>' : '<D:resourcetype/>',
  ),
  dav('getcontentlength', true, ({ entry }) =>
    entry.kind === 'file' ? `<D:getcontentlength>${entry.size}</D:getcontentlength>` : undefined,
  ),
  dav('getlastmodified', true, ({ entry }) =>
    isKnownTime(entry) ? `<D:getlastmodified>${httpDate(entry.modified)}</D:getlastmodified>` : undefined,
  ),
  dav('getetag', true, ({ entry }) =>
    entry.kind === 'file' ? `<D:getetag>"${escapeXml(entry.etag)}"</D:getetag>` : undefined,
  ),
  dav('getcontenttype', true, ({ entry }) =>
    entry.kind === 'file' ? `<D:getcontenttype>${escapeXml(contentTypeOf(entry))}</D:getcontenttype>` : undefined,
  ),
  dav('creationdate', true, ({ entry }) =>
    entry.created !== undefined || isKnownTime(entry)
      ? `<D:creationdate>${isoDate(entry.created ?? entry.modified)}</D:creationdate>`
      : undefined,
  ),
  dav('displayname', true, ({ entry }) => `<D:displayname>${escapeXml(nameOf(entry.path))}</D:displayname>`),
  dav('supportedlock', true, () => supportedLock),
  dav('lockdiscovery', true, ({ locks, session, now }) =>
    locks.length === 0
      ? '<D:lockdiscovery/>'
      : `<D:lockdiscovery>${locks.map((lock) => activeLock(lock, session.basePath, now)).join('')}</D:lockdiscovery>`,
  ),
  dav('quota-available-bytes', false, ({ space }) =>
    space?.available === undefined ? undefined : number('quota-available-bytes', space.available),
  ),
  dav('quota-used-bytes', false, ({ space }) =>
    space?.used === undefined ? undefined : number('quota-used-bytes', space.used),
  ),
  dav('current-user-principal', false, ({ session }) =>
    session.identity.source === 'anonymous'
      ? '<D:current-user-principal><D:unauthenticated/></D:current-user-principal>'
      : `<D:current-user-principal><D:href>${principalHref(session)}</D:href></D:current-user-principal>`,
  ),
  dav('current-user-privilege-set', false, privileges),
  dav('supported-report-set', false, ({ entry }) => (entry.kind === 'directory' ? supportedReports : undefined)),
  dav('sync-token', false, ({ syncToken }) =>
    syncToken === undefined ? undefined : `<D:sync-token>${escapeXml(syncToken)}</D:sync-token>`,
  ),
  {
    namespace: apacheNamespace,
    name: 'executable',
    all: false,
    value: ({ entry }) =>
      entry.kind === 'file'
        ? `<A:executable xmlns:A="${apacheNamespace}">${entry.executable === true ? 'T' : 'F'}</A:executable>`
        : undefined,
  },
  {
    namespace: ownCloudNamespace,
    name: 'checksums',
    all: false,
    value: ({ entry }) => {
      const { sha1, md5 } = entry.digests ?? {}
      const known = [...(sha1 ? [`SHA1:${hex(sha1)}`] : []), ...(md5 ? [`MD5:${hex(md5)}`] : [])]
      return known.length === 0
        ? undefined
        : `<O:checksums xmlns:O="${ownCloudNamespace}"><O:checksum>${known.join(' ')}</O:checksum></O:checksums>`
    },
  },
]

/** Live properties that a client may set: what it sets is kept as a dead one and shown instead. */
const overridable: ReadonlySet<string> = new Set([`${davNamespace}\ndisplayname`])

const byName: ReadonlyMap<string, LiveProperty> = new Map(
  liveProperties.map((property) => [`${property.namespace}\n${property.name}`, property]),
)

export function liveProperty(name: PropertyName): LiveProperty | undefined {
  return byName.get(`${name.namespace}\n${name.name}`)
}

export function isOverridable(name: PropertyName): boolean {
  return overridable.has(`${name.namespace}\n${name.name}`)
}

/** The `href` of the caller's own principal resource. */
export function principalHref(session: Session): string {
  return `${session.basePath}/-/principals/${encodeSegment(session.identity.name)}`
}

/** An `activelock` element (RFC 4918 §14.1) with the owner as the client sent it: some find their own locks by it after a crash. */
export function activeLock(lock: Lock, basePath: string, now: number): string {
  const seconds = Math.max(0, Math.ceil((lock.expires - now) / 1000))
  return (
    `<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:${lock.scope}/></D:lockscope>` +
    `<D:depth>${lock.depth}</D:depth>${lock.owner ?? ''}<D:timeout>Second-${seconds}</D:timeout>` +
    `<D:locktoken><D:href>${escapeXml(lock.token)}</D:href></D:locktoken>` +
    `<D:lockroot>${hrefElement(lock.path, false, basePath)}</D:lockroot></D:activelock>`
  )
}

function privileges({ entry, session, refused }: Resource): string {
  const names = privilegesOf(entry, session, refused)
  const content = names.map((name) => `<D:privilege><D:${name}/></D:privilege>`).join('')
  return `<D:current-user-privilege-set>${content}</D:current-user-privilege-set>`
}

function dav(name: string, all: boolean, value: LiveProperty['value']): LiveProperty {
  return { namespace: davNamespace, name, all, value }
}

function number(name: string, value: number): string {
  return `<D:${name}>${Math.max(0, Math.floor(value))}</D:${name}>`
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

let lastSecond = -1
let lastIso = ''

/** RFC 3339, whole seconds: what every client can read. */
function isoDate(milliseconds: number): string {
  const second = Math.floor(milliseconds / 1000)
  if (second !== lastSecond) {
    lastSecond = second
    lastIso = new Date(second * 1000).toISOString().slice(0, 19) + 'Z'
  }
  return lastIso
}

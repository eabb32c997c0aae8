import type { Logger } from 'pino'
import type { Authenticator } from '../auth/authenticator.js'
import type { Identity } from '../auth/identity.js'
import type { Links } from '../auth/links.js'
import type { Signatures } from '../auth/sigv4/verified.js'
import type { StoreSource } from '../auth/source.js'
import type { UploadLimits } from '../auth/upload-limits.js'
import type { Locks } from '../catalog/locks.js'
import type { Properties } from '../catalog/properties.js'
import type { Uploads } from '../catalog/uploads.js'
import type { Usage } from '../catalog/usage.js'
import type { RequestLines } from './access-log.js'
import type { Drops } from './drops.js'
import type { CrossOriginRules } from './cross-origin.js'
import type { HostList } from './host-list.js'
import type { OriginLock } from './origin-lock.js'
import type { RequestLimits } from './request-limits.js'
import type { SurfaceName, TreeSurface } from './surface.js'
import type { CallerPages } from '../protocol/admin/caller-pages.js'
import type { OwnPages } from '../protocol/admin/index.js'
import type { Protocol } from '../protocol/protocol.js'
import type { BucketCors } from '../protocol/s3/buckets/cors-answers.js'
import type { Store } from '../store/store.js'

/** What a gateway is made of. */
export interface GatewayOptions {
  readonly authenticator: Authenticator
  /** Who signs requests to the S3 surface. */
  readonly signatures: Signatures
  /** Who may sign links for others; absent: nobody. */
  readonly links?: readonly Links[]
  /** Whole stores; the gateway guards them. */
  readonly stores: StoreSource
  readonly locks: Locks
  readonly properties: Properties
  /** Uploads in parts of a caller to a store; called for each request. */
  readonly uploadsTo: (store: Store, identity: Identity) => Uploads
  /** What callers with a quota have used of it. */
  readonly usageOf: (identity: Identity) => Usage
  /** How large a file may be uploaded, and where; any size without it. */
  readonly uploadLimits?: UploadLimits | undefined
  readonly surfaces: Readonly<Record<TreeSurface, Protocol>>
  /** What takes drops, and where; absent: there are none. */
  readonly drops?: Drops | undefined
  readonly ownPages: OwnPages
  /** Those below `/-/` for which a caller logs in as for files; absent: there are none. */
  readonly callerPages?: CallerPages | undefined
  /** What each listener speaks, by its name; everything where it is not listed. */
  readonly spoken: ReadonlyMap<string, readonly SurfaceName[]>
  /** Hosts, and all below them, that speak S3 whatever else their listener speaks. */
  readonly s3Hosts: readonly string[]
  readonly basePath: string
  /** Lower case. */
  readonly publicOrigins: readonly string[]
  readonly crossOrigin: CrossOriginRules
  /** Which pages of other origins the buckets of S3 let in, beside those. */
  readonly bucketCors?: BucketCors | undefined
  /** Which hosts may be asked for; absent: any. */
  readonly hosts?: HostList
  /** Whom every request must have come through; absent: anybody may ask. */
  readonly originLock?: OriginLock
  /** Answer 403, not 401, to callers that are not known. */
  readonly uniform403: boolean
  readonly log: Logger
  /** How much everybody may ask for; as much as they like without it. */
  readonly limits?: RequestLimits | undefined
  /** Where the lines of requests go; the log without it. */
  readonly lines?: RequestLines | undefined
  /** Log a line per request. */
  readonly logRequests: boolean
}

import type { Identity } from '../../auth/identity.js'
import type { VerifiedRequest } from '../../auth/sigv4/verified.js'
import type { Clock } from '../../core/clock.js'
import type { HttpResponse } from '../../core/http.js'
import type { Entry } from '../../store/store.js'
import type { Session } from '../protocol.js'
import type { AddressRules, S3Target } from './address.js'
import type { S3Query } from './query.js'

/** What the S3 surface needs to know of its configuration. */
export interface S3Settings extends AddressRules {
  /** What GetBucketLocation says. */
  readonly region: string
  readonly clock: Clock
  /** Objects of more bytes are left to the storage service, for who has not signed each request by itself; absent: none are. */
  readonly redirectOver?: number | undefined
  /** Told of every file that is shown without the MD5 of its bytes, by a path below the caller's home, to find it out when there is time. */
  readonly hashLater?: ((entry: Entry, identity: Identity) => void) | undefined
}

/** One request to S3. */
export interface S3Context {
  readonly request: VerifiedRequest
  readonly target: S3Target
  readonly query: S3Query
  readonly session: Session
  readonly settings: S3Settings
}

/** One operation of the API. Throws Failures with an `S3ErrorCode` where their kind alone does not say what S3 would. */
export type Operation = (context: S3Context) => Promise<HttpResponse>

import type { Snapshots } from '../../catalog/snapshots.js'
import type { Clock } from '../../core/clock.js'
import type { HttpRequest } from '../../core/http.js'
import type { ParsedTarget } from '../../core/path.js'
import type { Session } from '../protocol.js'

/** What every WebDAV method gets. */
export interface DavContext {
  readonly request: HttpRequest
  readonly target: ParsedTarget
  readonly session: Session
  readonly services: DavServices
}

/** What the WebDAV protocol is made with. */
export interface DavServices {
  readonly clock: Clock
  /** What sync tokens stand for. */
  readonly snapshots: Snapshots
  /** A PROPFIND or sync of infinite depth lists at most so many members. */
  readonly maxMembers: number
  /** Beginnings of user agents that get no quota properties: some hang on them for a minute and a half. */
  readonly hideQuotaFrom: readonly string[]
}

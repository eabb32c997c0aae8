import type { HttpRequest } from '../core/http.js'
import type { ParsedTarget } from '../core/path.js'
import type { Identity } from './identity.js'

/** What a signed link opens. */
export interface OpenedLink {
  readonly target: ParsedTarget
  /** Who has signed it, with no more than the link gives. */
  readonly identity: Identity
}

/** A source whose callers may sign links for others, who need no login. */
export interface Links {
  /**
   * Undefined for a request that is under no such link. Throws `denied` for a link that is missing or wrong, `gone` for one
   * that was right and is over, `unavailable` where the source is down.
   */
  open(request: HttpRequest, target: ParsedTarget): Promise<OpenedLink | undefined>
}

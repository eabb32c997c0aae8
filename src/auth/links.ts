import type { HttpRequest } from '../core/http.js'
import type { ParsedTarget, StorePath } from '../core/path.js'
import type { Identity } from './identity.js'

/** What a signed link opens. */
export interface OpenedLink {
  readonly target: ParsedTarget
  /** Who has signed it, with no more than the link gives. */
  readonly identity: Identity
  /** Milliseconds since the epoch, from when on it opens nothing any more. */
  readonly until: number
}

/** All of a request that a link may hang on. Plain data, so that its source can live in another process. */
export type LinkRequest = Pick<HttpRequest, 'method' | 'target' | 'headers' | 'origin' | 'peer'>

/** A source whose callers may sign links for others, who need no login. */
export interface Links {
  /** Links lie below these paths and nowhere else: of no other path is anything asked. */
  readonly below: readonly StorePath[]
  /**
   * Undefined for a request that is under no such link. Throws `denied` for a link that is missing or wrong, `gone` for one
   * that was right and is over, `unavailable` where the source is down.
   */
  open(request: LinkRequest, target: ParsedTarget): Promise<OpenedLink | undefined>
}

import type { GuardedSet } from '../auth/guard.js'
import type { Identity } from '../auth/identity.js'
import type { Permit } from '../auth/permit.js'
import type { Failure } from '../core/failure.js'
import type { HttpRequest, HttpResponse } from '../core/http.js'
import type { ParsedTarget } from '../core/path.js'

/** An HTTP dialect. */
export interface Protocol {
  /** Answers, or throws a Failure, which comes back through `refuse`. */
  handle(request: HttpRequest, target: ParsedTarget, session: Session): Promise<HttpResponse>
  /** A failure in this dialect: status, headers and body. `id` is how the log calls the request. Never throws. */
  refuse(failure: Failure, request: HttpRequest, id: string): HttpResponse
  /** What nobody meant to happen, in this dialect, where plain text will not do. Never throws. */
  fault?(message: string, request: HttpRequest, id: string): HttpResponse
  /** How this dialect reads the target of a request, where it is not a path alone. Throws `invalid`. */
  target?(request: HttpRequest): ParsedTarget
}

/** Everything a protocol holds for one request. All of it is guarded: policy cannot be forgotten. */
export interface Session extends GuardedSet {
  readonly identity: Identity
  /** How the log calls this request. */
  readonly requestId: string
  /** Whose locks count, and the tokens submitted so far: a protocol adds those it finds in the request. */
  readonly holder: { readonly principal: string; readonly tokens: Set<string> }
  /** For what a protocol tells the caller about its rights (privilege sets, Allow); the guard enforces it in any case. */
  readonly permit: Permit
  /** What hrefs and Location begin with, without a trailing slash: the base path a proxy strips; usually empty. */
  readonly basePath: string
  /** Origins at which the client may know this server, lower case, `https://files.example.org`; for `Destination`. */
  readonly publicOrigins: readonly string[]
}

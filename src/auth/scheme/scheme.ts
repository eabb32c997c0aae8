import type { HttpRequest } from '../../core/http.js'
import type { Credential } from '../identity.js'

/** One way to show a credential in a request. */
export interface Scheme {
  /** The headers that all of a credential is read from: the same values are the same credential. Lower case. */
  readonly headers: readonly string[]
  /** The `WWW-Authenticate` value that asks for it, where there is one. */
  readonly challenge?: string
  /** The credential, or undefined where the request uses another scheme. Throws `invalid` on a malformed one of this scheme. */
  read(request: HttpRequest): Credential | undefined
}

import type { HttpRequest } from '../../core/http.js'
import type { ParsedTarget } from '../../core/path.js'
import type { Identity } from '../identity.js'
import type { VerifiedBody } from './verified-body.js'

/**
 * Finds out who signed a request (AWS Signature Version 4), in one place before anything is routed: who a caller is comes
 * out of here only, together with a body that cannot be other than what was signed.
 */
export interface Signatures {
  /**
   * Throws `denied`, `invalid`, `unsupported`, `length-required` with the `S3ErrorCode` that says why, `unavailable` where
   * keys cannot be looked up. A request without any signature comes from `anonymous`, where that is allowed.
   * `target` is what the request names: a form's policy is judged against it.
   */
  verify(request: HttpRequest, target: NamedTarget): Promise<Verified>
}

/** What a request names, as the S3 surface reads it. */
export interface NamedTarget extends ParsedTarget {
  /** As the client calls it; undefined for the service itself. */
  readonly bucket?: string
}

export interface Verified {
  readonly identity: Identity
  readonly request: VerifiedRequest
}

/** A request as its signature holds for it. */
export interface VerifiedRequest extends HttpRequest {
  readonly body: VerifiedBody
  /** Signed by its query: what may be said in a query only then counts (`response-content-type` and its like count for signed requests of any kind). */
  readonly signedBy: 'header' | 'query' | 'form' | 'nobody'
  /** A form of a browser (POST policy), its file being the body. */
  readonly form?: PostForm
}

/** The fields of a form before its file, which its policy allows. */
export interface PostForm {
  /** Names in lower case; the first of each name. `key` is the one that the file gets: its name is put in already. */
  readonly fields: ReadonlyMap<string, string>
}

import type { HttpRequest } from '../../core/http.js'
import type { Identity } from '../identity.js'
import type { SizeRange } from './form-file.js'
import type { Proof } from './proof.js'

/** A request without its body: all that its signature is judged by. Plain data, so that a judge can live in another process. */
export type SignedHead = Pick<HttpRequest, 'method' | 'target' | 'headers' | 'origin' | 'peer'>

/** Who signed something. */
export interface Judged {
  readonly identity: Identity
  /** Milliseconds since the epoch, from when on the same signature would be refused; absent where nothing is signed. */
  readonly until?: number
}

export interface JudgedHead extends Judged {
  readonly proof: Proof
}

/** A form of a browser up to its file, as it came. */
export interface SentForm {
  /** As the target of the request names it. */
  readonly bucket: string
  /** By their names in lower case. */
  readonly fields: ReadonlyMap<string, string>
  /** Of the file, without directories; empty where the client does not say. */
  readonly fileName: string
}

export interface JudgedForm extends Judged {
  /** Not where an anonymous caller sent it. */
  readonly signed: boolean
  /** Of the file. */
  readonly size: SizeRange
}

/**
 * Knows the secrets of signatures (AWS Signature Version 4) and says who signed what. Neither they nor what is derived from
 * them, nor any signature that was not shown to it, come out of here.
 */
export interface SignatureJudge {
  /**
   * By header, by URL or not at all; undefined for a form, which says it in its body. Throws `denied`, `invalid`,
   * `unsupported` with the `S3ErrorCode` that says why, `unavailable` where keys cannot be looked up.
   */
  head(request: SignedHead): Promise<JudgedHead | undefined>
  /** Throws like `head`, and where the policy does not allow the form. `request` is the one that brought it. */
  form(form: SentForm, request: SignedHead): Promise<JudgedForm>
}

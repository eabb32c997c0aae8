import type { HttpRequest } from '../../core/http.js'
import type { VerifiedBody } from './verified-body.js'
import type { PostForm, VerifiedRequest } from './verified.js'

/** A request with the body that its signature vouches for. What a transport works out when it is asked for stays so. */
export class SignedRequest implements VerifiedRequest {
  readonly method: string
  readonly target: string
  readonly headers: HttpRequest['headers']
  readonly listener: string
  readonly body: VerifiedBody
  readonly signedBy: VerifiedRequest['signedBy']
  declare readonly form?: PostForm
  readonly #request: HttpRequest

  constructor(request: HttpRequest, body: VerifiedBody, signedBy: VerifiedRequest['signedBy'], form?: PostForm) {
    this.method = request.method
    this.target = request.target
    this.headers = request.headers
    this.listener = request.listener
    this.body = body
    this.signedBy = signedBy
    if (form !== undefined) this.form = form
    this.#request = request
  }

  get origin(): HttpRequest['origin'] {
    return this.#request.origin
  }

  get peer(): HttpRequest['peer'] {
    return this.#request.peer
  }

  get signal(): AbortSignal {
    return this.#request.signal
  }
}

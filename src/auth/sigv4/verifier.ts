import { Failure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { SignatureJudge } from './judge.js'
import { createKeyedJudge, type KeyedJudgeOptions } from './keyed-judge.js'
import { payloadOf } from './payload.js'
import { verifyForm } from './post-form.js'
import { SignedRequest } from './signed-request.js'
import type { NamedTarget, Signatures, Verified } from './verified.js'

export type SignaturesOptions = KeyedJudgeOptions

/** Verifies AWS Signature Version 4, in headers, URLs and forms. Throws `invalid` where the grants of `anonymous` are not right. */
export function createSignatures(options: SignaturesOptions): Signatures {
  return signaturesBy(createKeyedJudge(options))
}

/** Who signed a request says this judge; that its body is what was signed is seen to here. */
export function signaturesBy(judge: SignatureJudge): Signatures {
  return new SignatureVerifier(judge)
}

class SignatureVerifier implements Signatures {
  readonly #judge: SignatureJudge

  constructor(judge: SignatureJudge) {
    this.#judge = judge
  }

  async verify(request: HttpRequest, target: NamedTarget): Promise<Verified> {
    const judged = await this.#judge.head(request)
    if (judged === undefined) return this.#verifyForm(request, target)
    const { identity, proof } = judged
    return { identity, request: new SignedRequest(request, payloadOf(request, proof), proof.by) }
  }

  async #verifyForm(request: HttpRequest, { bucket }: NamedTarget): Promise<Verified> {
    if (bucket === undefined)
      throw new Failure('method', 'A form must be sent to a bucket.', { reason: 'MethodNotAllowed' })
    const judge: Parameters<typeof verifyForm>[2] = (form) => this.#judge.form(form, request)
    const { identity, body, form, signed } = await verifyForm(request, bucket, judge)
    return { identity, request: new SignedRequest(request, body, signed ? 'form' : 'nobody', form) }
  }
}

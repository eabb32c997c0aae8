import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import type { Identity } from '../identity.js'
import { declaredDigests } from './declared-digests.js'
import { allowedFields } from './form-judge.js'
import type { JudgedForm, SentForm } from './judge.js'
import { readForm } from './multipart-form.js'
import type { PostForm } from './verified.js'
import { VerifiedBody } from './verified-body.js'

export interface VerifiedForm {
  readonly identity: Identity
  /** The file, of the size that the policy allows and with what the fields declare of it. */
  readonly body: VerifiedBody
  readonly form: PostForm
  readonly signed: boolean
}

/**
 * Takes a form of a browser (Amazon S3 API Reference, "Browser-Based Uploads Using POST") as far as its policy allows it: the
 * file is held to that while it is read. Reads the body up to the file. Throws `denied`, `invalid`, `too-large`,
 * `precondition` with the code of S3, and what `judge` throws. A target with a query is refused: it would ask for something
 * else in the name of whoever signed the policy.
 * @param bucket as the target of the request names it
 */
export async function verifyForm(
  request: HttpRequest,
  bucket: string,
  judge: (form: SentForm) => Promise<JudgedForm>,
): Promise<VerifiedForm> {
  if (/\?./s.test(request.target))
    throw new Failure('invalid', 'A form must be sent to a bucket, and to an address without a query.', {
      reason: 'InvalidRequest',
    })
  const { file, ...sent } = await readForm(request.body, header(request, 'content-type'))
  const { identity, signed, size } = await judge({ bucket, ...sent })
  file.limit(size)
  const fields = allowedFields(sent)
  const headers = new Map([...fields].map(([name, value]) => [name, [value]]))
  const expected = declaredDigests({ headers }, [], () => '')
  return { identity, body: new VerifiedBody({ chunks: file, expected }), form: { fields }, signed }
}

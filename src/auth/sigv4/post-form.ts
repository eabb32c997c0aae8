import { createHmac } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'
import { sameBytes } from '../constant-time.js'
import type { Identity } from '../identity.js'
import { signatureText } from './chunk-signatures.js'
import { declaredDigests } from './declared-digests.js'
import { readForm } from './multipart-form.js'
import { readPolicy, requirePolicy } from './post-policy.js'
import type { PostForm } from './verified.js'
import { VerifiedBody } from './verified-body.js'

/** Who signed a form, by its `x-amz-credential`. */
export interface FormCredential {
  readonly accessKeyId: string
  /** Day of the scope: `20260131`. */
  readonly day: string
  readonly region: string
}

/** What forms are judged by. */
export interface FormJudge {
  /**
   * The caller and the key derived for that day, region and the service `s3`; undefined where nobody has that access key.
   * May throw `invalid` for a region that this server is not in, `unavailable` where keys cannot be looked up.
   */
  readonly keys: (
    credential: FormCredential,
  ) => Promise<{ readonly identity: Identity; readonly signingKey: Uint8Array } | undefined>
  /** Whose forms need no policy; undefined where nobody's do. */
  readonly anonymous: Identity | undefined
  /** Milliseconds since the epoch. */
  readonly now: number
}

export interface VerifiedForm {
  readonly identity: Identity
  /** The file, of the size that the policy allows and with what the fields declare of it. */
  readonly body: VerifiedBody
  readonly form: PostForm
  readonly signed: boolean
}

/** Fields that only prove the others, or are of no account: no condition is needed for them, and nobody else sees them. */
const proving: ReadonlySet<string> = new Set(['policy', 'x-amz-signature'])

/**
 * Judges a form of a browser (Amazon S3 API Reference, "Browser-Based Uploads Using POST"): its policy is signed, has not
 * expired, names this bucket, and allows each of its fields; the file is held to it while it is read. Reads the body up to
 * the file. Throws `denied`, `invalid`, `too-large`, `precondition` with the code of S3, and what `keys` throws. A target with
 * a query is refused: it would ask for something else in the name of whoever signed the policy.
 * @param bucket as the target of the request names it
 */
export async function verifyForm(request: HttpRequest, bucket: string, judge: FormJudge): Promise<VerifiedForm> {
  if (/\?./s.test(request.target))
    throw new Failure('invalid', 'A form must be sent to a bucket, and to an address without a query.', {
      reason: 'InvalidRequest',
    })
  const { fields: sent, fileName, file } = await readForm(request.body, header(request, 'content-type'))
  const key = sent.get('key')
  if (key === undefined)
    throw invalid(
      "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.",
    )
  if (sent.has('signature') || sent.has('awsaccesskeyid')) throw signedTheOldWay()
  const fields = new Map([...sent].filter(([name]) => !proving.has(name) && !name.startsWith('x-ignore-')))
  // What is judged is what will be done: the policy sees the key that the file gets.
  fields.set(
    'key',
    key.replaceAll('${filename}', () => fileName),
  )
  const signed = sent.has('policy') || [...sent.keys()].some((name) => signingFields.has(name))
  const identity = signed ? await signerOf(sent, judge) : judge.anonymous
  if (identity === undefined)
    throw new Failure('denied', 'Access is denied: the form has no policy.', { reason: 'AccessDenied' })
  if ((fields.get('bucket') ?? bucket) !== bucket)
    throw new Failure('denied', 'The form names another bucket than its target.', { reason: 'AccessDenied' })
  if (signed) {
    const policy = readPolicy(sent.get('policy') ?? '')
    requirePolicy(policy, new Map([...fields, ['bucket', bucket]]), judge.now)
    file.limit(policy.size)
  }
  const headers = new Map([...fields].map(([name, value]) => [name, [value]]))
  const expected = declaredDigests({ headers }, [], () => '')
  return { identity, body: new VerifiedBody({ chunks: file, expected }), form: { fields }, signed }
}

const signingFields: ReadonlySet<string> = new Set([
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-signature',
  'x-amz-security-token',
])

const credentialText = /^([^/\s]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/s3\/aws4_request$/

async function signerOf(fields: ReadonlyMap<string, string>, { keys }: FormJudge): Promise<Identity> {
  const [policy, algorithm, credential, date, signature] = [
    'policy',
    'x-amz-algorithm',
    'x-amz-credential',
    'x-amz-date',
    'x-amz-signature',
  ].map((name) => required(fields, name)) as [string, string, string, string, string]
  if (fields.has('x-amz-security-token'))
    throw new Failure('denied', 'This server gives out no security tokens.', { reason: 'InvalidToken' })
  if (algorithm !== 'AWS4-HMAC-SHA256') throw invalid('x-amz-algorithm must be AWS4-HMAC-SHA256.')
  const [, accessKeyId, day = '', region = ''] = credentialText.exec(credential) ?? []
  if (accessKeyId === undefined)
    throw invalid('x-amz-credential must be ACCESS-KEY-ID/YYYYMMDD/REGION/s3/aws4_request.')
  if (!/^\d{8}T\d{6}Z$/.test(date) || !date.startsWith(day))
    throw invalid('x-amz-date must be as 20260131T120000Z, of the day in x-amz-credential.')
  const found = await keys({ accessKeyId, day, region })
  if (found === undefined)
    throw new Failure('denied', 'The AWS Access Key Id you provided does not exist in our records.', {
      reason: 'InvalidAccessKeyId',
    })
  const wanted = createHmac('sha256', found.signingKey).update(policy).digest()
  if (!signatureText.test(signature) || !sameBytes(wanted, Buffer.from(signature, 'hex')))
    throw new Failure(
      'denied',
      'The signature of the policy does not match. Check your secret access key and signing method.',
      { reason: 'SignatureDoesNotMatch' },
    )
  return found.identity
}

function required(fields: ReadonlyMap<string, string>, name: string): string {
  const value = fields.get(name)
  if (value === undefined) throw invalid(`Bucket POST must contain a field named '${name}'.`)
  return value
}

function signedTheOldWay(): Failure {
  return new Failure(
    'invalid',
    "Signature Version 2 is not supported. Sign the form with Signature Version 4 (in boto3: Config(signature_version='s3v4')).",
    { reason: 'InvalidRequest' },
  )
}

function invalid(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidArgument' })
}

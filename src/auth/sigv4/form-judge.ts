import { Failure } from '../../core/failure.js'
import { sameBytes } from '../constant-time.js'
import type { Identity } from '../identity.js'
import { signatureText } from './chunk-signatures.js'
import type { SizeRange } from './form-file.js'
import type { JudgedForm, SentForm } from './judge.js'
import { readPolicy, requirePolicy } from './post-policy.js'

/** Who signed a form, by its `x-amz-credential`. */
export interface FormCredential {
  readonly accessKeyId: string
  /** Day of the scope: `20260131`. */
  readonly day: string
  readonly region: string
}

/** What forms are judged by. */
export interface FormFacts {
  /**
   * The caller, and HMAC-SHA256 in base64 under the key derived for that day, region and the service `s3`; undefined where
   * nobody has that access key. May throw `invalid` for a region that this server is not in, `unavailable` where keys cannot
   * be looked up.
   */
  readonly keys: (
    credential: FormCredential,
  ) => Promise<{ readonly identity: Identity; readonly sign: (text: string) => string } | undefined>
  /** Whose forms need no policy; undefined where nobody's do. */
  readonly anonymous: Identity | undefined
  /** Milliseconds since the epoch. */
  readonly now: number
}

const anySize: SizeRange = { least: 0, most: Infinity }

/** Fields that only prove the others, or are of no account: no condition is needed for them, and nobody else sees them. */
const proving: ReadonlySet<string> = new Set(['policy', 'x-amz-signature'])

/**
 * The fields of a form that count. What is judged is what will be done: the policy sees the key that the file gets. Throws
 * `invalid` (`InvalidArgument`) without one.
 */
export function allowedFields({ fields: sent, fileName }: Pick<SentForm, 'fields' | 'fileName'>): Map<string, string> {
  const key = sent.get('key')
  if (key === undefined)
    throw invalid(
      "Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.",
    )
  const fields = new Map([...sent].filter(([name]) => !proving.has(name) && !name.startsWith('x-ignore-')))
  fields.set(
    'key',
    key.replaceAll('${filename}', () => fileName),
  )
  return fields
}

/**
 * Judges a form: its policy is signed, has not expired, names this bucket, and allows each of its fields. Throws `denied` and
 * `invalid` with the code of S3, and what `keys` throws.
 */
export async function judgeForm(form: SentForm, facts: FormFacts): Promise<JudgedForm> {
  const { bucket, fields: sent } = form
  const fields = allowedFields(form)
  if (sent.has('signature') || sent.has('awsaccesskeyid')) throw signedTheOldWay()
  const signed = sent.has('policy') || [...sent.keys()].some((name) => signingFields.has(name))
  const identity = signed ? await signerOf(sent, facts) : facts.anonymous
  if (identity === undefined)
    throw new Failure('denied', 'Access is denied: the form has no policy.', { reason: 'AccessDenied' })
  if ((fields.get('bucket') ?? bucket) !== bucket)
    throw new Failure('denied', 'The form names another bucket than its target.', { reason: 'AccessDenied' })
  if (!signed) return { identity, signed, size: anySize }
  const policy = readPolicy(sent.get('policy') ?? '')
  requirePolicy(policy, new Map([...fields, ['bucket', bucket]]), facts.now)
  return { identity, signed, size: policy.size, until: policy.expires }
}

const signingFields: ReadonlySet<string> = new Set([
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-signature',
  'x-amz-security-token',
])

const credentialText = /^([^/\s]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/s3\/aws4_request$/

async function signerOf(fields: ReadonlyMap<string, string>, { keys }: FormFacts): Promise<Identity> {
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
  const wanted = Buffer.from(found.sign(policy), 'base64')
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

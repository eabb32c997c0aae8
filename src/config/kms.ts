import { Failure } from '../core/failure.js'
import { createAwsClient } from '../store/aws/aws-client.js'
import { createCredentials } from '../store/aws/credentials.js'

export interface KmsCiphertext {
  /** As base64. */
  readonly ciphertext: string
  /** Without it, that of the environment. */
  readonly region?: string | undefined
  /** Instead of that of the region. */
  readonly endpoint?: string | undefined
}

/**
 * What a ciphertext of KMS holds (the operation `Decrypt`; the key stands in the ciphertext). Throws `invalid` where KMS
 * refuses it, `unavailable` where it cannot be asked.
 */
export async function decryptByKms(
  { ciphertext, region: named, endpoint }: KmsCiphertext,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Uint8Array> {
  const region = named ?? environment['AWS_REGION'] ?? environment['AWS_DEFAULT_REGION']
  if (region === undefined) throw new Failure('invalid', 'secret: name the region of the key: kms: { region: … }')
  const client = createAwsClient({
    endpoint: new URL(endpoint ?? `https://kms.${region}.amazonaws.com`),
    region,
    service: 'kms',
    credentials: createCredentials({ settings: {}, region }),
    title: 'KMS',
    codeOf: (bytes) => errorCode(bytes),
  })
  try {
    const { status, bytes, code } = await client.send({
      method: 'POST',
      path: '/',
      headers: { 'content-type': 'application/x-amz-json-1.1', 'x-amz-target': 'TrentService.Decrypt' },
      body: [Buffer.from(JSON.stringify({ CiphertextBlob: ciphertext }))],
    })
    const answer: unknown = status === 200 ? JSON.parse(bytes.toString()) : undefined
    if (typeof answer === 'object' && answer !== null && 'Plaintext' in answer && typeof answer.Plaintext === 'string')
      return Buffer.from(answer.Plaintext, 'base64')
    throw new Failure('invalid', `secret: KMS does not decrypt the ciphertext (${code ?? status}).`)
  } finally {
    client.close()
  }
}

/** `{"__type":"com.amazonaws…#AccessDeniedException"}` → `AccessDeniedException`. */
function errorCode(bytes: Uint8Array): string | undefined {
  return /"__type"\s*:\s*"(?:[^"#]*#)?([A-Za-z]+)"/.exec(Buffer.from(bytes).toString())?.[1]
}

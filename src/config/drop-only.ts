import type { HttpRequest, HttpResponse } from '../core/http.js'
import { systemClock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { readTokenHash } from '../auth/token-hash.js'
import { admitSender, admitThrough } from '../protocol/drop/admission.js'
import { faultAnswer, refusal } from '../protocol/drop/answers.js'
import { bucketDeposits } from '../protocol/drop/bucket-deposits.js'
import { defaultLimit } from '../protocol/drop/counted.js'
import { createDrop } from '../protocol/drop/drop.js'
import { defaultNamePattern } from '../protocol/drop/names.js'
import { createAwsClient } from '../store/aws/aws-client.js'
import type { Credentials } from '../store/aws/credentials.js'
import { BucketRequests } from '../store/s3/bucket-requests.js'
import { errorCodeOf } from '../store/s3/service-errors.js'
import { parseS3Url } from '../store/s3/settings.js'
import { aloneText, dropboxEnvironment, dropOnlyProblem, isCdnOff } from './dropbox-environment.js'
import { environmentCredentials } from './environment-credentials.js'

type Environment = Readonly<Record<string, string | undefined>>

/** What stands where a gateway stands otherwise: one drop at every path, and nothing else. */
export interface DropOnly {
  /** Answers a request. Never rejects. */
  handle(request: HttpRequest): Promise<HttpResponse>
  /** An answer for a transport that cannot send the one it was given. */
  refuse(failure: Failure): HttpResponse
  /** Ends all connections to the bucket. */
  close(): void
}

export interface DropOnlyOptions {
  /** Takes a line for each request that failed through no fault of the sender's. */
  readonly warn: (message: string, error: unknown) => void
  /** Asked where the environment holds no keys; without it that is a mistake. */
  readonly credentials?: (region: string) => Credentials
}

/**
 * The environment of s3-dropbox as it is: `BUCKET`, `AUTH_TOKEN`, `CDN_TOKEN` and `CDN_TOKEN_HTTP_HEADER_NAME`, and
 * `S3_ENDPOINT_URL` and `AWS_…` where they are set. Each drop becomes one object at the root of the bucket, for which a role
 * needs `s3:PutObject` and nothing else. Throws `invalid`, naming the variable.
 */
export function openDropOnly(environment: Environment, options: DropOnlyOptions): DropOnly {
  const { token, lock } = dropboxEnvironment(environment)
  const problem = dropOnlyProblem(environment)
  if (token === undefined || problem !== undefined)
    throw invalid(
      problem ?? 'AUTH_TOKEN: set it to the hash of a token; "postern token create --s3-dropbox" makes both',
    )
  if (lock === undefined && !isCdnOff(environment)) throw invalid(aloneText)
  const cdn = lock && { header: lock.header, hashes: lock.sha256.map(hashOf) }
  const requests = requestsOf(environment, options)
  const tokens = [{ name: token.name, hashes: [hashOf(token.sha256)] }]
  const deposits = bucketDeposits(requests)
  const drop = createDrop<undefined>({
    path: '/',
    namePattern: defaultNamePattern,
    clock: systemClock,
    admit: async (request) => {
      if (cdn !== undefined) admitThrough(request, cdn)
      const { name } = admitSender(request, tokens)
      return { name, principal: `drop:${name}`, limit: defaultLimit, types: [], deposits: async () => deposits }
    },
  })
  return {
    handle: async (request) => {
      try {
        return await drop(request, undefined)
      } catch (error) {
        if (!(error instanceof Failure)) {
          options.warn('a drop has failed', error)
          return faultAnswer()
        }
        if (error.kind === 'unavailable' || error.kind === 'no-space') options.warn(error.message, error)
        return refusal(error)
      }
    },
    refuse: refusal,
    close: () => requests.close(),
  }
}

function requestsOf(environment: Environment, { credentials }: DropOnlyOptions): BucketRequests {
  const { BUCKET: bucket = '', S3_ENDPOINT_URL: endpoint = '', AWS_REGION, AWS_DEFAULT_REGION } = environment
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]+$/.test(bucket)) throw invalid('BUCKET: must be the name of a bucket')
  const region = AWS_REGION ?? AWS_DEFAULT_REGION
  const settings = parseS3Url(`s3://${bucket}`, {
    ...(region !== undefined && region !== '' && { region }),
    ...(endpoint !== '' && { endpoint }),
  })
  const keys = environmentCredentials(environment) ?? credentials?.(settings.region)
  if (keys === undefined) throw invalid('AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: are not set')
  const client = createAwsClient({
    endpoint: settings.endpoint,
    region: settings.region,
    service: 's3',
    title: 'The storage service',
    codeOf: errorCodeOf,
    credentials: keys,
  })
  return new BucketRequests(client, settings)
}

function hashOf(text: string): Uint8Array {
  const bytes = readTokenHash(text)
  if (bytes === undefined) throw invalid('a token hash is not right')
  return bytes
}

function invalid(message: string): Failure {
  return new Failure('invalid', `${message}.`)
}

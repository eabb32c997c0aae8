import { systemClock } from '../../core/clock.js'
import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { AwsCredentials } from './sign.js'

/** Where credentials come from; with nothing said, from the default chain of the AWS SDK. */
export interface CredentialSettings {
  /** Both or neither. */
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  readonly sessionToken?: string
  /** Requests are not signed at all. */
  readonly anonymous?: boolean
  /** A role to take on, with the credentials that the rest of these settings gives. */
  readonly roleArn?: string
  readonly externalId?: string
  readonly roleSessionName?: string
  /** Neither the environment nor the files below `~/.aws` are asked. */
  readonly disableConfigLoad?: boolean
  /** The metadata service of EC2 is not asked. */
  readonly disableEc2Metadata?: boolean
}

/** Credentials that end some day. */
export interface ExpiringCredentials extends AwsCredentials {
  /** Milliseconds since the epoch. */
  readonly expires?: number
}

/** Gives credentials for as long as they are needed. */
export interface Credentials {
  /** Undefined where requests are not to be signed. Throws `unavailable`. */
  current(): Promise<AwsCredentials | undefined>
  /** Says that the service holds these for expired: the next `current` fetches others. */
  expired(which: AwsCredentials): void
}

export interface CredentialsOptions {
  readonly settings: CredentialSettings
  /** Of the STS that roles are asked from. */
  readonly region: string
  readonly clock?: Clock
  /** Where they come from, in place of the SDK. */
  readonly fetch?: () => Promise<ExpiringCredentials>
}

/** Renewed when they have so little left; used on, while the renewal is under way, as long as they last. */
const renewMilliseconds = 5 * 60_000
/** As good as expired. */
const leastMilliseconds = 30_000
/** After a renewal that failed, so that not every request asks anew. */
const pauseMilliseconds = 2_000

/**
 * Credentials as settled: fixed ones, none, or those of the AWS SDK, which is loaded at the first use. Fetched once for all
 * who wait, and renewed before they expire.
 */
export function createCredentials({ settings, region, clock = systemClock, fetch }: CredentialsOptions): Credentials {
  if (settings.anonymous === true) return { current: async () => undefined, expired: () => undefined }
  const fixed = fixedOf(settings)
  if (fixed !== undefined && settings.roleArn === undefined && fetch === undefined)
    return { current: async () => fixed, expired: () => undefined }
  return new RenewedCredentials(fetch ?? fromSdk(settings, region, fixed), clock)
}

class RenewedCredentials implements Credentials {
  readonly #fetch: () => Promise<ExpiringCredentials>
  readonly #clock: Clock
  #held: ExpiringCredentials | undefined
  #coming: Promise<ExpiringCredentials> | undefined
  #failedAt = Number.NEGATIVE_INFINITY
  #failure: Failure | undefined

  constructor(fetch: () => Promise<ExpiringCredentials>, clock: Clock) {
    this.#fetch = fetch
    this.#clock = clock
  }

  async current(): Promise<AwsCredentials> {
    const left = (this.#held?.expires ?? Number.POSITIVE_INFINITY) - this.#clock.now()
    if (this.#held !== undefined && left > renewMilliseconds) return this.#held
    const coming = this.#renewed()
    if (this.#held === undefined || left <= leastMilliseconds) return coming
    coming.catch(() => undefined)
    return this.#held
  }

  expired(which: AwsCredentials): void {
    if (this.#held === which) this.#held = undefined
  }

  #renewed(): Promise<ExpiringCredentials> {
    if (this.#failure !== undefined && this.#clock.now() - this.#failedAt < pauseMilliseconds)
      return Promise.reject(this.#failure)
    return (this.#coming ??= this.#ask().finally(() => (this.#coming = undefined)))
  }

  async #ask(): Promise<ExpiringCredentials> {
    try {
      this.#held = await this.#fetch()
      this.#failure = undefined
      return this.#held
    } catch (cause) {
      this.#failedAt = this.#clock.now()
      this.#failure =
        cause instanceof Failure ? cause : new Failure('unavailable', noCredentials, { retryAfterSeconds: 5, cause })
      throw this.#failure
    }
  }
}

const noCredentials =
  'There are no AWS credentials: give this machine a role, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name them in the settings.'

function fixedOf({ accessKeyId, secretAccessKey, sessionToken }: CredentialSettings): AwsCredentials | undefined {
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) }
}

type SdkProvider = () => Promise<AwsCredentials & { readonly expiration?: Date }>

function fromSdk(
  settings: CredentialSettings,
  region: string,
  fixed: AwsCredentials | undefined,
): () => Promise<ExpiringCredentials> {
  let provider: Promise<SdkProvider> | undefined
  return async () => {
    const found = await (await (provider ??= sdkProvider(settings, region, fixed)))()
    const { accessKeyId, secretAccessKey, sessionToken, expiration } = found
    return {
      accessKeyId,
      secretAccessKey,
      ...(sessionToken !== undefined && { sessionToken }),
      ...(expiration !== undefined && { expires: expiration.getTime() }),
    }
  }
}

async function sdkProvider(
  settings: CredentialSettings,
  region: string,
  fixed: AwsCredentials | undefined,
): Promise<SdkProvider> {
  const sdk = await import('@aws-sdk/credential-providers')
  const { roleArn, externalId, roleSessionName, disableConfigLoad = false, disableEc2Metadata = false } = settings
  const chain = (): SdkProvider => {
    if (!disableConfigLoad && !disableEc2Metadata) return sdk.fromNodeProviderChain({ clientConfig: { region } })
    return sdk.createCredentialChain(
      ...(disableConfigLoad ? [] : [sdk.fromEnv(), sdk.fromIni({ clientConfig: { region } }), sdk.fromTokenFile()]),
      sdk.fromHttp(),
      ...(disableEc2Metadata ? [] : [sdk.fromInstanceMetadata()]),
    )
  }
  const source = fixed === undefined ? chain() : async () => fixed
  if (roleArn === undefined) return source
  return sdk.fromTemporaryCredentials({
    masterCredentials: source,
    clientConfig: { region },
    params: {
      RoleArn: roleArn,
      RoleSessionName: roleSessionName ?? 'postern',
      ...(externalId !== undefined && { ExternalId: externalId }),
    },
  })
}

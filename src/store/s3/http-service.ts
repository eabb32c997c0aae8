import type { Clock } from '../../core/clock.js'
import { createAwsClient } from '../aws/aws-client.js'
import type { AwsClientLimits } from '../aws/aws-client.js'
import { createCredentials } from '../aws/credentials.js'
import type { Credentials } from '../aws/credentials.js'
import { BucketRequests, amazonDialect } from './bucket-requests.js'
import { BucketService } from './bucket-service.js'
import { abilitiesText, allAbilities, detectAbilities, noAbilities } from './detect.js'
import type { Detected } from './detect.js'
import { errorCodeOf } from './service-errors.js'
import type { S3Service } from './service.js'
import { shownS3Url } from './settings.js'
import type { S3Settings } from './settings.js'

export interface S3ServiceOptions {
  readonly settings: S3Settings
  /**
   * Whether objects are written, read and removed at the start, to find out what the service can do. Without it, Amazon's
   * is held to be able to do everything, and any other nothing that could be missing.
   */
  readonly selfTest: boolean
  /** Takes one line that says what the service is found to do. */
  readonly log?: (line: string) => void
  /** In place of those of the settings. */
  readonly credentials?: Credentials
  readonly limits?: Partial<AwsClientLimits>
  readonly clock?: Clock
}

/**
 * Opens the bucket of the settings. Throws `unavailable` with what to do where it is missing, in another region, closed to
 * these credentials or cannot be reached.
 */
export async function openS3Service(options: S3ServiceOptions): Promise<S3Service> {
  const { settings, selfTest, log, limits, clock } = options
  const { region, endpoint } = settings
  const client = createAwsClient({
    endpoint,
    region,
    service: 's3',
    title: 'The storage service',
    codeOf: errorCodeOf,
    credentials:
      options.credentials ??
      createCredentials({ settings: settings.credentials, region, ...(clock !== undefined && { clock }) }),
    ...(limits !== undefined && { limits }),
    ...(clock !== undefined && { clock }),
  })
  const requests = new BucketRequests(client, settings)
  try {
    const { abilities, dialect } = selfTest ? await detectAbilities(requests) : assumed(settings)
    log?.(`${shownS3Url(settings)} ${selfTest ? '' : '(not tested) '}${abilitiesText(abilities)}`)
    return new BucketService(requests.speaking(dialect), abilities)
  } catch (error) {
    requests.close()
    throw error
  }
}

function assumed({ isAws, encryption }: S3Settings): Detected {
  const isKms = encryption !== undefined && encryption.algorithm !== 'AES256'
  return isAws
    ? { abilities: { ...allAbilities, etagIsMd5: !isKms }, dialect: amazonDialect }
    : { abilities: noAbilities, dialect: { ...amazonDialect, copyIfMatch: undefined, partIfMatch: false } }
}

import type { Credentials, CredentialSettings } from '../store/aws/credentials.js'

/**
 * The keys that the environment holds, as on Lambda it always does: what the AWS SDK would find first, without loading it.
 * Undefined where there are none, or where the settings or a profile name others.
 */
export function environmentCredentials(
  environment: Readonly<Record<string, string | undefined>>,
  settings: CredentialSettings = {},
): Credentials | undefined {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_SESSION_TOKEN: token,
  } = environment
  const isSaid =
    settings.anonymous === true ||
    settings.accessKeyId !== undefined ||
    settings.roleArn !== undefined ||
    settings.disableConfigLoad === true ||
    (environment['AWS_PROFILE'] ?? '') !== ''
  if (isSaid || !isSet(accessKeyId) || !isSet(secretAccessKey)) return undefined
  const found = { accessKeyId, secretAccessKey, ...(isSet(token) && { sessionToken: token }) }
  return { current: async () => found, expired: () => undefined }
}

function isSet(value: string | undefined): value is string {
  return value !== undefined && value !== ''
}

import type { Config } from './load.js'

/** What libraries for sources and catalogs look at: credentials and places of AWS and PostgreSQL, proxies, certificates. */
const ofLibraries = /^(?:AWS_[A-Z0-9_]+|PG[A-Z]+|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|SSL_CERT_DIR|(?:HTTPS?|NO)_PROXY)$/i

/**
 * The variables of an environment that the process that knows all callers needs for a configuration: it gets no others, and
 * the process on the network gets none of these but for buckets.
 */
export function authEnvironment(
  { secret }: Pick<Config, 'secret'>,
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const named = secret !== undefined && 'env' in secret ? secret.env : undefined
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && (name === named || ofLibraries.test(name)) ? [[name, value]] : [],
    ),
  )
}

/** What the process on the network gets: the place and credentials of buckets, where it serves some. */
export function bucketEnvironment(
  { mounts }: Pick<Config, 'mounts'>,
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  if (!mounts.some(({ kind }) => kind === 's3')) return {}
  return Object.fromEntries(
    Object.entries(environment).flatMap(([name, value]) =>
      value !== undefined && /^(?:AWS_[A-Z0-9_]+|S3_ENDPOINT_URL)$/.test(name) ? [[name, value]] : [],
    ),
  )
}

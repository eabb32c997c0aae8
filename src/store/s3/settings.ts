import { Failure } from '../../core/failure.js'
import type { CredentialSettings } from '../aws/credentials.js'

/** Where the objects of a store are, and how they are asked for. */
export interface S3Settings {
  readonly bucket: string
  /** What all keys begin with: empty, or ends with a slash. */
  readonly prefix: string
  readonly region: string
  readonly endpoint: URL
  /** Amazon's own. */
  readonly isAws: boolean
  /** The bucket stands in the path, not in the host name. */
  readonly pathStyle: boolean
  /** Sent with all that is written. */
  readonly storageClass?: string
  /** Sent with all that is written. */
  readonly encryption?: Encryption
  readonly credentials: CredentialSettings
}

/** `x-amz-server-side-encryption` and the key that it names. */
export interface Encryption {
  readonly algorithm: string
  readonly kmsKeyId?: string
}

/** What the environment says where a URL does not. */
export interface S3Defaults {
  readonly region?: string
  readonly endpoint?: string
}

/** Names of OpenDAL, and its other names for the same. */
const options: Readonly<Record<string, readonly string[]>> = {
  endpoint: ['aws_endpoint', 'aws_endpoint_url', 'endpoint_url'],
  region: ['aws_region'],
  default_storage_class: [],
  enable_virtual_host_style: ['aws_virtual_hosted_style_request', 'virtual_hosted_style_request'],
  access_key_id: ['aws_access_key_id'],
  secret_access_key: ['aws_secret_access_key'],
  session_token: ['aws_session_token', 'aws_token', 'token'],
  role_arn: [],
  external_id: [],
  role_session_name: [],
  allow_anonymous: ['aws_skip_signature', 'skip_signature'],
  disable_config_load: [],
  disable_ec2_metadata: [],
  server_side_encryption: ['aws_server_side_encryption'],
  server_side_encryption_aws_kms_key_id: ['aws_sse_kms_key_id'],
}

const nameOf = new Map(
  Object.entries(options).flatMap(([name, others]) => [name, ...others].map((each) => [each, name])),
)

/**
 * Reads `s3://bucket/prefix?options` with the options of OpenDAL's S3 service, as users of Vaultwarden write them. Throws
 * `invalid` for anything that it does not know; no message shows a secret.
 */
export function parseS3Url(text: string, defaults: S3Defaults = {}): S3Settings {
  const [, bucket = '', path = '', query = ''] = /^s3:\/\/([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/i.exec(text) ?? []
  if (bucket === '') throw invalid('An S3 location is written s3://bucket/prefix?region=…')
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/.test(bucket))
    throw invalid(`${JSON.stringify(bucket)} cannot be the name of a bucket.`)
  const given = readOptions(query)
  const endpointText = given.get('endpoint') ?? defaults.endpoint
  const endpoint = endpointText === undefined || endpointText === '' ? undefined : endpointOf(endpointText)
  const region = given.get('region') ?? defaults.region ?? (endpoint && (regionOf(endpoint) ?? 'us-east-1'))
  if (region === undefined)
    throw invalid('The region of the bucket is not known: say s3://bucket/prefix?region=…, or set AWS_REGION.')
  if (!/^[a-z0-9][a-z0-9-]{0,62}$/i.test(region)) throw invalid(`${JSON.stringify(region)} cannot be a region.`)
  const isAws = endpoint === undefined || /(^|\.)amazonaws\.com(\.cn)?$/.test(endpoint.hostname)
  const virtualHost = flag(given, 'enable_virtual_host_style') ?? isAws
  const storageClass = given.get('default_storage_class') ?? ''
  const encryption = encryptionOf(given)
  return {
    bucket,
    prefix: prefixOf(path),
    region,
    endpoint: endpoint ?? new URL(`https://s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`),
    isAws,
    // No certificate fits a name with more dots.
    pathStyle: !virtualHost || (isAws && bucket.includes('.')),
    ...(storageClass !== '' && { storageClass }),
    ...(encryption !== undefined && { encryption }),
    credentials: credentialsOf(given),
  }
}

/** The location without its secrets, for logs and messages. */
export function shownS3Url({ bucket, prefix, region, endpoint, isAws }: S3Settings): string {
  const where = isAws ? `region=${region}` : `endpoint=${endpoint.protocol}//${endpoint.host}&region=${region}`
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix.slice(0, -1)}`}?${where}`
}

function readOptions(query: string): ReadonlyMap<string, string> {
  const given = new Map<string, string>()
  for (const part of query.split('&')) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const written = decoded(equals === -1 ? part : part.slice(0, equals))
    const name = nameOf.get(written)
    if (name === undefined) throw unknownOption(written)
    if (given.has(name)) throw invalid(`The option ${name} stands twice in an S3 location.`)
    given.set(name, equals === -1 ? '' : decoded(part.slice(equals + 1)))
  }
  return given
}

function unknownOption(written: string): Failure {
  const shown = /^[\w.-]{1,64}$/.test(written) ? written : '(unreadable)'
  const near = [...nameOf.keys()].find((name) => plain(name) === plain(written))
  const close = near ?? [...nameOf.keys()].find((name) => plain(name).includes(plain(written)) && written.length > 2)
  const hint = close === undefined ? `It may have: ${Object.keys(options).join(', ')}.` : `Is ${close} meant?`
  return invalid(`An S3 location has no option ${shown}. ${hint}`)
}

function plain(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, '')
}

/** A plus is a plus: keys hold them, and nobody writes spaces here. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    throw new Failure('invalid', 'An option of an S3 location is not encoded as a URL wants it.', { cause })
  }
}

function endpointOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    throw invalid('The endpoint of an S3 location is written http://host:port or https://host:port.')
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '')
    throw invalid('The endpoint of an S3 location is a host with nothing before or behind it.')
  return url
}

/** Of `s3.eu-west-1.amazonaws.com` and the like. */
function regionOf({ hostname }: URL): string | undefined {
  return /(?:^|\.)s3[.-]([a-z]{2}(?:-[a-z]+)+-\d)\.amazonaws\.com(?:\.cn)?$/.exec(hostname)?.[1]
}

function prefixOf(path: string): string {
  const prefix = decoded(path).replace(/^\/+|\/+$/g, '')
  if (prefix === '') return ''
  if (prefix.split('/').some((segment) => segment === '' || segment === '.' || segment === '..'))
    throw invalid('The prefix of an S3 location has an empty segment, . or ..')
  return `${prefix}/`
}

function flag(given: ReadonlyMap<string, string>, name: string): boolean | undefined {
  const value = given.get(name)?.toLowerCase()
  if (value === undefined) return undefined
  if (value === '' || value === 'true' || value === '1' || value === 'on') return true
  if (value === 'false' || value === '0' || value === 'off') return false
  throw invalid(`The option ${name} of an S3 location is true or false.`)
}

function encryptionOf(given: ReadonlyMap<string, string>): Encryption | undefined {
  const algorithm = given.get('server_side_encryption')
  const kmsKeyId = given.get('server_side_encryption_aws_kms_key_id')
  if (algorithm === undefined && kmsKeyId === undefined) return undefined
  const chosen = algorithm ?? 'aws:kms'
  if (!['AES256', 'aws:kms', 'aws:kms:dsse'].includes(chosen))
    throw invalid('The option server_side_encryption of an S3 location is AES256, aws:kms or aws:kms:dsse.')
  if (chosen === 'AES256' && kmsKeyId !== undefined)
    throw invalid('An S3 location has a KMS key, but server_side_encryption=AES256.')
  return { algorithm: chosen, ...(kmsKeyId !== undefined && { kmsKeyId }) }
}

function credentialsOf(given: ReadonlyMap<string, string>): CredentialSettings {
  const texts = {
    accessKeyId: given.get('access_key_id'),
    secretAccessKey: given.get('secret_access_key'),
    sessionToken: given.get('session_token'),
    roleArn: given.get('role_arn'),
    externalId: given.get('external_id'),
    roleSessionName: given.get('role_session_name'),
  }
  if ((texts.accessKeyId === undefined) !== (texts.secretAccessKey === undefined))
    throw invalid('An S3 location has only one of access_key_id and secret_access_key.')
  if (texts.sessionToken !== undefined && texts.accessKeyId === undefined)
    throw invalid('An S3 location has a session_token, but no access_key_id.')
  if (texts.roleArn === undefined && (texts.externalId ?? texts.roleSessionName) !== undefined)
    throw invalid('An S3 location has an external_id or a role_session_name, but no role_arn.')
  const flags = {
    anonymous: flag(given, 'allow_anonymous'),
    disableConfigLoad: flag(given, 'disable_config_load'),
    disableEc2Metadata: flag(given, 'disable_ec2_metadata'),
  }
  return Object.fromEntries(Object.entries({ ...texts, ...flags }).filter(([, value]) => value !== undefined))
}

function invalid(message: string): Failure {
  return new Failure('invalid', message)
}

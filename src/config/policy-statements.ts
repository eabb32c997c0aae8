import { preparingOperations } from '../catalog/dynamodb/prepare-table.js'
import { operations } from '../catalog/dynamodb/table.js'

/** One statement of a policy (AWS Identity and Access Management, "IAM JSON policy elements reference"). */
export interface Statement {
  /** What it is for, in letters and digits. */
  readonly Sid: string
  readonly Effect: 'Allow'
  readonly Action: readonly string[]
  readonly Resource: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>
}

/** Where a resource is; `*` for an account or a region that is not known. */
export interface Whereabouts {
  readonly region: string
  readonly account: string
}

/** Whether an endpoint is one of somebody else's. */
export function isElsewhere(endpoint: string | undefined): boolean {
  return endpoint !== undefined && !/(?:^|\.)(?:amazonaws\.com(?:\.cn)?|api\.aws)$/.test(new URL(endpoint).hostname)
}

/** The table of a catalog, as a server uses it. */
export function catalogTableStatement(table: string, where: Whereabouts): Statement {
  return allow('Catalog', dynamodb(operations), tableArn(table, where))
}

/** The table of a catalog, as `postern migrate` makes it. */
export function catalogTableMaking(table: string, where: Whereabouts): Statement {
  return allow('MakeCatalog', dynamodb(preparingOperations), tableArn(table, where))
}

/** The rows of one realm in a users table. */
export function usersTableStatement(
  { table, realm, rehash }: { readonly table: string; readonly realm: string; readonly rehash: boolean },
  where: Whereabouts,
): Statement {
  return {
    ...allow('Users', dynamodb(['GetItem', ...(rehash ? ['UpdateItem'] : [])]), tableArn(table, where)),
    Condition: { 'ForAllValues:StringEquals': { 'dynamodb:LeadingKeys': [literal(realm)] } },
  }
}

/**
 * The objects of a bucket below a prefix, which is empty or ends with a slash. Without the right to list, S3 says of a
 * missing object that it is forbidden; it takes the key for the prefix there, so the condition does no harm.
 */
export function bucketStatements(
  { bucket, prefix, readOnly }: { readonly bucket: string; readonly prefix: string; readonly readOnly: boolean },
  region: string,
): readonly Statement[] {
  const bucketArn = `arn:${partitionOf(region)}:s3:::${bucket}`
  const below = `${literal(prefix)}*`
  const writing = ['s3:PutObject', 's3:DeleteObject', 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts']
  return [
    allow('Objects', ['s3:GetObject', ...(readOnly ? [] : writing)], `${bucketArn}/${below}`),
    {
      ...allow('List', ['s3:ListBucket'], bucketArn),
      ...(prefix !== '' && { Condition: { StringLike: { 's3:prefix': [below] } } }),
    },
    ...(readOnly ? [] : [allow('Uploads', ['s3:ListBucketMultipartUploads'], bucketArn)]),
  ]
}

/** The key that seals the objects of a bucket: an ARN, or the id of a key in the same account. */
export function objectKeyStatement(key: string, readOnly: boolean, where: Whereabouts): Statement {
  const actions = readOnly ? ['kms:Decrypt'] : ['kms:Decrypt', 'kms:GenerateDataKey']
  return allow('ObjectKey', actions, key.startsWith('arn:') ? literal(key) : kmsArn(literal(key), where))
}

/** The key under which the secret of the installation is sealed; which one it is stands in the ciphertext alone. */
export function secretKeyStatement(where: Whereabouts): Statement {
  return allow('Secret', ['kms:Decrypt'], kmsArn('*', where))
}

/** Logging in to a cluster of Aurora DSQL. */
export function dsqlStatement(cluster: string, isAdmin: boolean, where: Whereabouts): Statement {
  const action = isAdmin ? 'dsql:DbConnectAdmin' : 'dsql:DbConnect'
  return allow('Catalog', [action], arn('dsql', where, `cluster/${cluster}`))
}

/**
 * Sending mail from an address (Service Authorization Reference, "Amazon SES API v2"). Which identity SES takes for it, the
 * address or its domain, is for whoever has set SES up; the sender is bound by the condition.
 */
export function sendingStatement(from: string, where: Whereabouts): Statement {
  return {
    ...allow('Mail', ['ses:SendEmail'], arn('ses', where, 'identity/*')),
    Condition: { StringEquals: { 'ses:FromAddress': [literal(from)] } },
  }
}

/** Taking on a role that a mount names. */
export function assumeRoleStatement(role: string): Statement {
  return allow('TakeRole', ['sts:AssumeRole'], role)
}

function allow(Sid: string, Action: readonly string[], Resource: string): Statement {
  return { Sid, Effect: 'Allow', Action, Resource }
}

function dynamodb(names: readonly string[]): readonly string[] {
  return names.map((name) => `dynamodb:${name}`)
}

function tableArn(table: string, where: Whereabouts): string {
  return arn('dynamodb', where, `table/${table}`)
}

function kmsArn(key: string, where: Whereabouts): string {
  return arn('kms', where, `key/${key}`)
}

function arn(service: string, { region, account }: Whereabouts, resource: string): string {
  return `arn:${partitionOf(region)}:${service}:${region}:${account}:${resource}`
}

function partitionOf(region: string): string {
  if (region.startsWith('cn-')) return 'aws-cn'
  return region.startsWith('us-gov-') ? 'aws-us-gov' : 'aws'
}

/** A text in which nothing stands for anything else ("IAM policy elements: Variables and tags"). */
function literal(text: string): string {
  return text.replace(/[*?$]/g, (mark) => `\${${mark}}`)
}

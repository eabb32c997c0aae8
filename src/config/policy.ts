import { postgresTarget } from '../catalog/postgres/target.js'
import { mailboxOf } from '../mail/mail.js'
import type { CredentialSettings } from '../store/aws/credentials.js'
import { identityKinds } from './identity/kinds.js'
import type { Config } from './load.js'
import { s3SettingsOf } from './mount-settings.js'
import type { S3Mount } from './mount-settings.js'
import {
  assumeRoleStatement,
  bucketStatements,
  catalogTableMaking,
  catalogTableStatement,
  dsqlStatement,
  isElsewhere,
  objectKeyStatement,
  secretKeyStatement,
  sendingStatement,
} from './policy-statements.js'
import type { Statement, Whereabouts } from './policy-statements.js'

/** What a configuration may be asked about. */
export type PolicySettings = Pick<Config, 'mounts' | 'catalog' | 'secret' | 'identity' | 'mail'>

export interface PolicyOptions {
  /** The number of the AWS account; any without it. */
  readonly account?: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** For `postern migrate` instead of a server. */
  readonly migrate: boolean
}

/** Whose policy it is: that of the process, of a role that it takes on, or of the owner of an access key. */
export type Holder = { readonly kind: 'process' } | { readonly kind: 'role' | 'key'; readonly id: string }

export interface HeldPolicy {
  readonly holder: Holder
  readonly document: { readonly Version: '2012-10-17'; readonly Statement: readonly Statement[] }
}

export interface NeededPolicies {
  readonly policies: readonly HeldPolicy[]
  /** What a policy cannot say, a sentence each. */
  readonly notes: readonly string[]
}

/**
 * The rights at AWS that a configuration needs, and no others: one policy for the role of the process, and one for each
 * other identity that it names. Throws `invalid` for settings that cannot be understood.
 */
export function policiesOf(settings: PolicySettings, options: PolicyOptions): NeededPolicies {
  const needs = new Needs(options)
  addCatalog(settings, needs)
  if (!options.migrate) {
    addSecret(settings, needs)
    addMail(settings, needs)
    for (const mount of settings.mounts) if (mount.kind === 's3') addMount(mount, needs)
    for (const { kind, name, settings: own } of settings.identity) {
      const statements = identityKinds.get(kind)?.rights?.(own, (region) => needs.where(region))
      if (statements === 'elsewhere') needs.note(`${name} is not asked at AWS.`)
      else for (const statement of statements ?? []) needs.add(processHolder, statement)
    }
  }
  return needs.all()
}

const processHolder: Holder = { kind: 'process' }

/** Gathers statements by those who need them. */
class Needs {
  readonly options: PolicyOptions
  readonly #held = new Map<string, { readonly holder: Holder; readonly statements: Statement[] }>()
  readonly #notes: string[] = []

  constructor(options: PolicyOptions) {
    this.options = options
  }

  /** Of a region, else that of the environment. */
  where(region: string | undefined): Whereabouts {
    const { environment, account = '*' } = this.options
    return { region: region ?? environment['AWS_REGION'] ?? environment['AWS_DEFAULT_REGION'] ?? '*', account }
  }

  add(holder: Holder, statement: Statement): void {
    const name = JSON.stringify(holder)
    const held = this.#held.get(name) ?? { holder, statements: [] }
    this.#held.set(name, held)
    if (!held.statements.some((each) => same(each, statement))) held.statements.push(statement)
  }

  note(sentence: string): void {
    this.#notes.push(sentence)
  }

  all(): NeededPolicies {
    const policies = [...this.#held.values()].map(({ holder, statements }): HeldPolicy => ({
      holder,
      document: { Version: '2012-10-17', Statement: numbered(statements) },
    }))
    return { policies, notes: this.#notes }
  }
}

function addCatalog({ catalog }: PolicySettings, needs: Needs): void {
  if (catalog === undefined) return
  if ('dynamodb' in catalog) {
    const { table, region, endpoint } = catalog.dynamodb
    if (isElsewhere(endpoint)) {
      needs.note('The table of the catalog is not at AWS.')
      return
    }
    const where = needs.where(region)
    needs.add(
      processHolder,
      needs.options.migrate ? catalogTableMaking(table, where) : catalogTableStatement(table, where),
    )
    return
  }
  const { dialect, host, user } = postgresTarget(catalog.postgres, needs.options.environment)
  if (dialect !== 'dsql') return
  const [cluster = '*', , region] = host.split('.')
  needs.add(processHolder, dsqlStatement(cluster, user === 'admin', needs.where(region)))
  if (user === 'admin') needs.note('The catalog is entered as admin, who may do everything in it. For a user of its own: dsql://…?user=NAME, and in the database AWS IAM GRANT NAME TO the ARN of the role.') // prettier-ignore
}

function addSecret({ secret }: PolicySettings, needs: Needs): void {
  if (secret === undefined || !('kms' in secret) || isElsewhere(secret.kms.endpoint)) return
  needs.add(processHolder, secretKeyStatement(needs.where(secret.kms.region)))
  needs.note('The statement Secret allows every key: name the one under which the secret was encrypted.')
}

function addMail({ mail }: PolicySettings, needs: Needs): void {
  if (mail?.ses === undefined) return
  if (isElsewhere(mail.ses.endpoint)) needs.note('Mails are not sent by AWS.')
  else needs.add(processHolder, sendingStatement(mailboxOf(mail.from), needs.where(mail.ses.region)))
}

function addMount(mount: S3Mount, needs: Needs): void {
  const { bucket, prefix, region, isAws, credentials, encryption } = s3SettingsOf(mount, needs.options.environment)
  if (!isAws) {
    needs.note(`The bucket ${bucket} is not at AWS.`)
    return
  }
  const holder = holderOf(credentials)
  if (holder === undefined) return
  const { readOnly } = mount
  for (const statement of bucketStatements({ bucket, prefix, readOnly }, region)) needs.add(holder, statement)
  const key = encryption?.kmsKeyId
  if (key !== undefined && /(?:^|:)alias\//.test(key))
    needs.note(`Policies do not know the alias ${key}: allow kms:Decrypt and kms:GenerateDataKey on the key behind it.`)
  else if (key !== undefined) needs.add(holder, objectKeyStatement(key, readOnly, needs.where(region)))
  if (holder.kind === 'role') {
    const { accessKeyId } = credentials
    needs.add(
      accessKeyId === undefined ? processHolder : { kind: 'key', id: accessKeyId },
      assumeRoleStatement(holder.id),
    )
    needs.note(`The role ${holder.id} must trust whoever takes it on.`)
  }
}

/** Undefined where nobody signs. */
function holderOf({ anonymous, roleArn, accessKeyId }: CredentialSettings): Holder | undefined {
  if (anonymous === true) return undefined
  if (roleArn !== undefined) return { kind: 'role', id: roleArn }
  return accessKeyId === undefined ? processHolder : { kind: 'key', id: accessKeyId }
}

function same(one: Statement, other: Statement): boolean {
  return JSON.stringify(one) === JSON.stringify(other)
}

/** A name of a statement may stand only once in a policy. */
function numbered(statements: readonly Statement[]): readonly Statement[] {
  const counts = new Map<string, number>()
  return statements.map((statement) => {
    const count = (counts.get(statement.Sid) ?? 0) + 1
    counts.set(statement.Sid, count)
    return count === 1 ? statement : { ...statement, Sid: `${statement.Sid}${count}` }
  })
}

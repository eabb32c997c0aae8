import type { Catalog } from './catalog.js'
import { ClockSkew } from './dynamodb/clock-skew.js'
import { DynamodbCatalog } from './dynamodb/dynamodb-catalog.js'
import { keyOf } from './dynamodb/rows.js'
import { Table, codeOf } from './dynamodb/table.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { createAwsClient } from '../store/aws/aws-client.js'
import type { AwsClient, AwsClientLimits } from '../store/aws/aws-client.js'
import type { Credentials } from '../store/aws/credentials.js'

/** Where the table of a catalog is. */
export interface DynamodbPlace {
  readonly table: string
  readonly region: string
  /** Instead of that of the region. */
  readonly endpoint?: string
  readonly credentials: Credentials
}

export interface DynamodbOptions extends DynamodbPlace {
  readonly clock: Clock
  /** Told when the clock of this host and that of the service differ by more than two seconds, at the start or later. */
  readonly log?: { warn(facts: object, message: string): void }
  /**
   * Told, once it is open, how far the clock of the service is ahead of `clock` where that is more than two seconds: a clock
   * that is set while the program runs must not end the locks of others.
   */
  readonly followSkew?: (milliseconds: number) => void
  /** In place of those with which a request is given up after ten seconds or so. */
  readonly limits?: Partial<AwsClientLimits>
}

export interface OpenedDynamodb {
  readonly catalog: Catalog
  /**
   * How far the clock of the service is ahead of ours where they differ by more than two seconds, to half a second; else 0.
   * Whoever opens corrects the clock by it.
   */
  readonly skewMilliseconds: number
}

/**
 * Opens a catalog in one table of DynamoDB, which any number of instances may share. Throws `invalid` where the table is
 * missing or not as `postern migrate` makes it, `denied` where the role may not read it, `unavailable` where it cannot be asked.
 */
export async function openDynamodbCatalog(options: DynamodbOptions): Promise<OpenedDynamodb> {
  const { clock, log, followSkew } = options
  const limits = { ...requestLimits, ...options.limits }
  const client = dynamodbClient(options, limits)
  let isOpen = false as boolean
  const skew = new ClockSkew(clock, (skewMilliseconds) => {
    log?.warn({ skewMilliseconds }, 'The clock of this host and that of DynamoDB differ: set it by NTP.')
    if (!isOpen || followSkew === undefined) return
    followSkew(skewMilliseconds)
    skew.restart()
  })
  const deadlineMilliseconds = limits.patience + limits.silence
  const table = new Table({ table: options.table, client, skew, deadlineMilliseconds })
  try {
    const fault = await table.faultOf(keyOf('', ''))
    if (fault !== undefined) throw unusable(options, fault)
  } catch (error) {
    client.close()
    throw error
  }
  const catalog = new DynamodbCatalog({ table, clock, closeConnections: () => client.close() })
  const skewMilliseconds = skew.correction
  skew.restart()
  isOpen = true
  return { catalog, skewMilliseconds }
}

/** A signed client of DynamoDB, which tries again what can be tried again. */
export function dynamodbClient(
  { region, endpoint, credentials }: DynamodbPlace,
  limits: Partial<AwsClientLimits> = requestLimits,
): AwsClient {
  return createAwsClient({
    endpoint: new URL(endpoint ?? `https://dynamodb.${region}.${domainOf(region)}`),
    region,
    service: 'dynamodb',
    credentials,
    title: 'The catalog',
    codeOf,
    limits,
  })
}

const requestLimits = { maxSockets: 128, connect: 1500, silence: 4000, patience: 8000, attempts: 6, pause: 50 }

function domainOf(region: string): string {
  return region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com'
}

function unusable(
  { table, region, endpoint }: DynamodbPlace,
  { code, text }: { readonly code: string; readonly text: string },
): Failure {
  const where = `the DynamoDB table ${table} in ${endpoint ?? region}`
  if (code === 'ResourceNotFoundException')
    return new Failure('invalid', `There is no ${where.slice(4)}: "postern migrate" makes it.`)
  if (code === 'ValidationException')
    return new Failure(
      'invalid',
      `${where} cannot hold the catalog: it needs the keys pk and sk, both text, as "postern migrate" makes them. (${text})`,
    )
  if (code === 'AccessDeniedException')
    return new Failure('denied', `The role of this server may not read ${where}: "postern policy" prints what it needs. (${text})`) // prettier-ignore
  return new Failure('unavailable', `${where} cannot be used: ${text}`, { retryAfterSeconds: 5 })
}

import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../../core/failure.js'
import type { AwsAnswer, AwsClient } from '../../store/aws/aws-client.js'
import { elementsOf, memberOf, timeToLive } from './rows.js'
import { faultText, requestOf } from './table.js'

/** What `postern migrate` asks DynamoDB for; a server needs none of it. */
export const preparingOperations = ['DescribeTable', 'CreateTable', 'DescribeTimeToLive', 'UpdateTimeToLive'] as const

type Preparing = (typeof preparingOperations)[number]

export interface PreparingOptions {
  readonly table: string
  readonly client: Pick<AwsClient, 'send'>
  /** Do what is to be done; without it, only say so. */
  readonly apply: boolean
  /** How long to wait for a table that is being made, in milliseconds. */
  readonly patienceMilliseconds?: number
}

const pauseMilliseconds = 250

/**
 * Sees to it that the table of a catalog is there: paid by request, keys `pk` and `sk`, rows removed by DynamoDB an hour
 * after their end. Resolves to what there is to do, a sentence each, or what was done; nothing where all is right. Throws
 * `invalid` where a table of that name is something else, `denied` where the role may not, `unavailable`.
 */
export async function prepareDynamodbTable(options: PreparingOptions): Promise<readonly string[]> {
  const { table, apply } = options
  const steps: string[] = []
  const present = await describe(options)
  if (present === undefined) {
    steps.push(`Make the DynamoDB table ${table}, paid by request, with the keys pk and sk.`)
    if (apply) await create(options)
  } else if (!hasOurKeys(present))
    throw new Failure(
      'invalid',
      `The DynamoDB table ${table} is something else: its keys are not pk and sk, both text.`,
    )
  const lives = present === undefined ? undefined : await livingBy(options)
  if (lives !== undefined && lives !== timeToLive)
    throw new Failure('invalid', `The DynamoDB table ${table} has its time to live by ${lives}, and Postern's rows have theirs by ${timeToLive}.`) // prettier-ignore
  if (lives === undefined) {
    steps.push(`Let DynamoDB remove the rows of ${table} whose time is over (time to live by ${timeToLive}).`)
    if (apply) {
      await active(options)
      const specification = { AttributeName: timeToLive, Enabled: true }
      const answer = await ask(options, 'UpdateTimeToLive', { TimeToLiveSpecification: specification })
      if (answer.status !== 200) throw refusal(answer)
    }
  }
  return steps
}

async function describe(options: PreparingOptions): Promise<unknown> {
  const answer = await ask(options, 'DescribeTable')
  if (answer.code === 'ResourceNotFoundException') return undefined
  return memberOf(bodyOf(answer), 'Table')
}

/** Another `migrate` may make it at the same time. */
async function create(options: PreparingOptions): Promise<void> {
  const answer = await ask(options, 'CreateTable', {
    BillingMode: 'PAY_PER_REQUEST',
    AttributeDefinitions: keys.map(([name]) => ({ AttributeName: name, AttributeType: 'S' })),
    KeySchema: keys.map(([name, type]) => ({ AttributeName: name, KeyType: type })),
  })
  if (answer.status !== 200 && answer.code !== 'ResourceInUseException') throw refusal(answer)
  await active(options)
}

async function active(options: PreparingOptions): Promise<void> {
  const until = performance.now() + (options.patienceMilliseconds ?? 120_000)
  while (memberOf(await describe(options), 'TableStatus') !== 'ACTIVE') {
    if (performance.now() > until)
      throw new Failure('unavailable', `The DynamoDB table ${options.table} is still being made. Try again soon.`)
    await delay(pauseMilliseconds)
  }
}

/** The attribute of the time to live; undefined where there is none. */
async function livingBy(options: PreparingOptions): Promise<string | undefined> {
  const answer = memberOf(bodyOf(await ask(options, 'DescribeTimeToLive')), 'TimeToLiveDescription')
  const status = memberOf(answer, 'TimeToLiveStatus')
  const name = memberOf(answer, 'AttributeName')
  return (status === 'ENABLED' || status === 'ENABLING') && typeof name === 'string' ? name : undefined
}

const keys = [
  ['pk', 'HASH'],
  ['sk', 'RANGE'],
] as const

function hasOurKeys(table: unknown): boolean {
  const schema = elementsOf(memberOf(table, 'KeySchema'))
  const types = elementsOf(memberOf(table, 'AttributeDefinitions'))
  return keys.every(
    ([name, type]) =>
      schema.some((key) => memberOf(key, 'AttributeName') === name && memberOf(key, 'KeyType') === type) &&
      types.some((key) => memberOf(key, 'AttributeName') === name && memberOf(key, 'AttributeType') === 'S'),
  )
}

function ask({ client, table }: PreparingOptions, operation: Preparing, input: object = {}): Promise<AwsAnswer> {
  return client.send(requestOf(operation, { TableName: table, ...input }))
}

function bodyOf(answer: AwsAnswer): unknown {
  if (answer.status !== 200) throw refusal(answer)
  return JSON.parse(answer.bytes.toString()) as unknown
}

function refusal(answer: AwsAnswer): Failure {
  return answer.code === 'AccessDeniedException'
    ? new Failure('denied', `The role may not prepare the table: ${faultText(answer)}`)
    : new Failure('unavailable', `DynamoDB does not prepare the table: ${faultText(answer)}`)
}

import { Failure } from '../../core/failure.js'
import type { AwsAnswer, AwsClient } from '../../store/aws/aws-client.js'
import type { ClockSkew } from './clock-skew.js'
import { elementsOf, memberOf } from './rows.js'

/** What the catalog asks DynamoDB for; `postern policy` allows exactly these. */
export type Operation = 'GetItem' | 'BatchGetItem' | 'PutItem' | 'UpdateItem' | 'DeleteItem' | 'Query'

export const operations: readonly Operation[] = [
  'GetItem',
  'BatchGetItem',
  'PutItem',
  'UpdateItem',
  'DeleteItem',
  'Query',
]

/**
 * What became of a write on a condition. `refused`: the condition does not hold. `unknown`: it does not hold now, but an
 * earlier try, whose answer was lost, may have been what made it so.
 */
export type Written =
  { readonly outcome: 'done'; readonly answer: unknown } | { readonly outcome: 'refused' | 'unknown' }

export interface TableOptions {
  readonly table: string
  readonly client: Pick<AwsClient, 'send'>
  readonly skew: ClockSkew
  /** How long somebody waits for one request, in milliseconds, also where all connections hang. */
  readonly deadlineMilliseconds: number
}

/** Of a page or a batch: 16 MiB in base64, and what stands around it. */
const mostAnswerBytes = 32 * 1024 * 1024

/** Requests to one table. */
export class Table {
  readonly #options: TableOptions

  constructor(options: TableOptions) {
    this.#options = options
  }

  /** The answer to what has no condition. Throws `unavailable`. */
  async ask(operation: Operation, input: object): Promise<unknown> {
    const answer = await this.#send(operation, input)
    if (answer.status !== 200) throw unavailable(faultText(answer))
    return parsed(answer)
  }

  /** The same for a write that has one. */
  async write(operation: Operation, input: object): Promise<Written> {
    const answer = await this.#send(operation, input)
    if (answer.status === 200) return { outcome: 'done', answer: parsed(answer) }
    if (answer.code === 'ConditionalCheckFailedException')
      return { outcome: answer.mayHaveBeenDone ? 'unknown' : 'refused' }
    throw unavailable(faultText(answer))
  }

  /** The code and the words with which the table cannot be used at all; undefined where it can. Throws `unavailable` where none can be told. */
  async faultOf(key: object): Promise<{ readonly code: string; readonly text: string } | undefined> {
    const answer = await this.#send('GetItem', { Key: key, ConsistentRead: true })
    return answer.status === 200 ? undefined : { code: answer.code ?? '', text: faultText(answer) }
  }

  /** A `BatchGetItem` of rows of this table. */
  batch(keys: readonly unknown[]): object {
    return { RequestItems: { [this.#options.table]: { ConsistentRead: true, Keys: keys } } }
  }

  /** What a batch brought, and the keys that are to be asked for again. */
  batched(answer: unknown): { readonly found: readonly unknown[]; readonly left: readonly unknown[] } {
    const { table } = this.#options
    return {
      found: elementsOf(memberOf(memberOf(answer, 'Responses'), table)),
      left: elementsOf(memberOf(memberOf(memberOf(answer, 'UnprocessedKeys'), table), 'Keys')),
    }
  }

  async #send(operation: Operation, input: object): Promise<AwsAnswer> {
    const { table, client, skew, deadlineMilliseconds } = this.#options
    const named = operation === 'BatchGetItem' ? input : { TableName: table, ...input }
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(unavailable('no answer in time')), deadlineMilliseconds)
    try {
      const begun = skew.now()
      const answer = await client.send({
        ...requestOf(operation, named),
        signal: deadline.signal,
        mostBytes: mostAnswerBytes,
      })
      skew.note(answer.headers.date, answer.attempts === 1 ? begun : undefined)
      return answer
    } finally {
      clearTimeout(timer)
    }
  }
}

/** A request of DynamoDB's protocol, JSON 1.0. */
export function requestOf(operation: string, input: object): Parameters<AwsClient['send']>[0] {
  return {
    method: 'POST',
    path: '/',
    headers: { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': `DynamoDB_20120810.${operation}` },
    body: [Buffer.from(JSON.stringify(input))],
  }
}

/** The name of the exception in an answer, without its namespace. */
export function codeOf(bytes: Uint8Array): string | undefined {
  const type = memberOf(jsonOf(bytes), '__type')
  return typeof type === 'string' ? type.slice(type.lastIndexOf('#') + 1).slice(0, 80) : undefined
}

/** What the service says of its error; its sentences hold no values of rows. */
export function faultText({ status, code, bytes }: AwsAnswer): string {
  const json = jsonOf(bytes)
  const said = memberOf(json, 'message') ?? memberOf(json, 'Message')
  const name = code === undefined || code === '' ? `status ${status}` : code
  return typeof said === 'string' ? `${name}: ${said.replace(/\p{Cc}/gu, ' ').slice(0, 300)}` : name
}

/** The failure of every verb, with what lies beneath for the log. */
export function unavailable(why: string): Failure {
  return new Failure('unavailable', 'The catalog cannot be reached.', {
    retryAfterSeconds: 5,
    cause: new Error(`DynamoDB: ${why}`),
  })
}

function parsed({ bytes }: AwsAnswer): unknown {
  const json = jsonOf(bytes)
  if (json === undefined) throw unavailable('an answer is not JSON')
  return json
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()) as unknown
  } catch {
    return undefined
  }
}

import type { DynamoDB, UpdateItemCommandInput } from '@aws-sdk/client-dynamodb'
import { Failure } from '../../core/failure.js'
import type { ListedRow, RowChange, TableRow, TableUser, UsersTable } from './users-table.js'

export interface DynamodbTableOptions {
  readonly table: string
  readonly realm: string
  /** What the range key is called; the hash key is `realm`. */
  readonly sortKey: 'user' | 'username'
  /** The SDK's own search without it. */
  readonly region?: string
  /** Instead of that of the region. */
  readonly endpoint?: string
}

/** One connection, one answer, all tries together. */
const connectMilliseconds = 1500
const answerMilliseconds = 2000
const patienceMilliseconds = 4500
const tries = 3
/** Beyond so many that wait, nobody joins: a table that hangs must not gather the whole server. */
const maxWaiting = 64
const maxSockets = 32
const retryAfterSeconds = 5

type Send<Answer> = (client: DynamoDB, options: { readonly abortSignal: AbortSignal }) => Promise<Answer>

type Key = Readonly<Record<string, { S: string }>>

/** A users table by the AWS SDK, with the credentials of its default chain. Nothing is sent before the first verb. */
export class DynamodbTable implements UsersTable {
  readonly #options: DynamodbTableOptions
  #client: Promise<DynamoDB> | undefined
  #waiting = 0

  constructor(options: DynamodbTableOptions) {
    this.#options = options
  }

  async find(
    user: string,
    { consistent = false }: { readonly consistent?: boolean } = {},
  ): Promise<TableRow | undefined> {
    const { table, sortKey } = this.#options
    const key = this.#key(user)
    const { Item: row } = await this.#ask((client, options) =>
      client.getItem(
        {
          TableName: table,
          Key: key,
          ProjectionExpression: '#realm, #user, #password, #salt, #scopes',
          ExpressionAttributeNames: { '#realm': 'realm', '#user': sortKey, ...attributes },
          ...(consistent && { ConsistentRead: true }),
        },
        options,
      ),
    ).catch((error: unknown) => {
      throw error instanceof Failure && error.kind === 'denied' ? unavailable('its role may not', error) : error
    })
    if (row === undefined) return undefined
    const { realm: foundRealm, [sortKey]: foundUser, ...rest } = row
    if (foundRealm?.S !== key['realm']?.S || foundUser?.S !== user) throw unavailable('it answers with another row')
    return rest
  }

  async rehash(user: string, seen: Pick<TableUser, 'hash' | 'salt'>, hash: string): Promise<boolean> {
    const same = seen.salt === undefined ? 'attribute_not_exists(#salt)' : '#salt = :salt'
    const done = await this.#update({
      Key: this.#key(user),
      UpdateExpression: 'SET #password = :next REMOVE #salt',
      ConditionExpression: `#password = :seen AND ${same}`,
      ExpressionAttributeNames: { '#password': 'password', '#salt': 'salt' },
      ExpressionAttributeValues: {
        ':next': { S: hash },
        ':seen': { S: seen.hash },
        ...(seen.salt !== undefined && { ':salt': { S: seen.salt } }),
      },
    })
    return done !== undefined
  }

  async write(
    user: string,
    { password, scopes }: RowChange,
    which: 'new' | 'existing' | 'any',
  ): Promise<'made' | 'changed'> {
    const sets = [
      ...(password ? ['#password = :password'] : []),
      ...(password?.salt === undefined ? [] : ['#salt = :salt']),
    ]
    if (scopes) sets.push('#scopes = :scopes')
    const removes = password !== undefined && password.salt === undefined ? ' REMOVE #salt' : ''
    const condition = { new: 'attribute_not_exists(#realm)', existing: 'attribute_exists(#realm)', any: undefined }[
      which
    ]
    const done = await this.#update({
      Key: this.#key(user),
      UpdateExpression: `SET ${sets.join(', ')}${removes}`,
      ...(condition !== undefined && { ConditionExpression: condition }),
      ExpressionAttributeNames: {
        ...(password && { '#password': 'password', '#salt': 'salt' }),
        ...(scopes && { '#scopes': 'scopes' }),
        ...(condition !== undefined && { '#realm': 'realm' }),
      },
      ExpressionAttributeValues: {
        ...(password && { ':password': { S: password.hash } }),
        ...(password?.salt !== undefined && { ':salt': { S: password.salt } }),
        ...(scopes && { ':scopes': { L: scopes.map((scope) => ({ S: scope })) } }),
      },
    })
    if (done === undefined)
      throw which === 'new'
        ? new Failure('exists', `There is a user ${JSON.stringify(user)} already.`)
        : noSuchUser(user)
    return done
  }

  async remove(user: string): Promise<void> {
    const done = await this.#conditional((client, options) =>
      client.deleteItem(
        {
          TableName: this.#options.table,
          Key: this.#key(user),
          ConditionExpression: 'attribute_exists(#realm)',
          ExpressionAttributeNames: { '#realm': 'realm' },
        },
        options,
      ),
    )
    if (done === undefined) throw noSuchUser(user)
  }

  async *list(): AsyncIterable<readonly ListedRow[]> {
    const { table, realm, sortKey } = this.#options
    let start: Key | undefined
    do {
      const page = await this.#ask((client, options) =>
        client.query(
          {
            TableName: table,
            KeyConditionExpression: '#realm = :realm',
            ProjectionExpression: '#user, #scopes',
            ExpressionAttributeNames: { '#realm': 'realm', '#user': sortKey, '#scopes': 'scopes' },
            ExpressionAttributeValues: { ':realm': { S: realm } },
            ...(start && { ExclusiveStartKey: start }),
          },
          options,
        ),
      )
      yield (page.Items ?? []).flatMap(({ [sortKey]: key, ...row }) =>
        key?.S === undefined ? [] : [{ user: key.S, row }],
      )
      start = page.LastEvaluatedKey as Key | undefined
    } while (start !== undefined)
  }

  close(): void {
    void this.#client?.then(
      (client) => client.destroy(),
      () => undefined,
    )
  }

  #key(user: string): Key {
    return { realm: { S: this.#options.realm }, [this.#options.sortKey]: { S: user } }
  }

  /** Undefined where the condition does not hold. */
  async #update(
    input: Omit<UpdateItemCommandInput, 'TableName' | 'ReturnValues'>,
  ): Promise<'made' | 'changed' | undefined> {
    const TableName = this.#options.table
    const done = await this.#conditional((client, options) =>
      client.updateItem({ ...input, TableName, ReturnValues: 'ALL_OLD' }, options),
    )
    return done && (done.Attributes === undefined ? 'made' : 'changed')
  }

  async #conditional<Answer>(send: Send<Answer>): Promise<Answer | undefined> {
    try {
      return await this.#ask(send)
    } catch (error) {
      if (error instanceof Failure && error.kind === 'precondition') return undefined
      throw error
    }
  }

  async #sent<Answer>(send: Send<Answer>, abortSignal: AbortSignal): Promise<Answer> {
    this.#client ??= openClient(this.#options)
    return await send(await this.#client, { abortSignal })
  }

  /** The deadline holds for everything, the search for credentials too, which no signal ends. */
  async #ask<Answer>(send: Send<Answer>): Promise<Answer> {
    if (this.#waiting >= maxWaiting) throw unavailable('too many wait for it')
    this.#waiting += 1
    const abort = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(unavailable('it takes too long'))
        abort.abort()
      }, patienceMilliseconds)
    })
    try {
      return await Promise.race([this.#sent(send, abort.signal), late])
    } catch (error) {
      throw failureOf(error, this.#options)
    } finally {
      clearTimeout(timer)
      this.#waiting -= 1
    }
  }
}

/** The SDK takes a quarter of a second to load: a server that nobody asks yet starts without it. */
async function openClient({ region, endpoint }: DynamodbTableOptions): Promise<DynamoDB> {
  const sdk = await import('@aws-sdk/client-dynamodb')
  return withoutWarnings(
    () =>
      new sdk.DynamoDB({
        ...(region !== undefined && { region }),
        ...(endpoint !== undefined && { endpoint }),
        maxAttempts: tries,
        requestHandler: {
          connectionTimeout: connectMilliseconds,
          requestTimeout: answerMilliseconds,
          throwOnRequestTimeout: true,
          httpAgent: { keepAlive: true, maxSockets },
          httpsAgent: { keepAlive: true, maxSockets },
          logger: silent,
        },
        logger: silent,
      }),
  )
}

const attributes = { '#password': 'password', '#salt': 'salt', '#scopes': 'scopes' }

const quiet = (): void => undefined
const silent = { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet }

/** The SDK says of older Nodes, at its first use, that it will leave them one day: nobody can do anything about that here. */
function withoutWarnings<Made>(make: () => Made): Made {
  const emitWarning: unknown = Reflect.get(process, 'emitWarning')
  process.emitWarning = quiet
  try {
    return make()
  } finally {
    Reflect.set(process, 'emitWarning', emitWarning)
  }
}

function noSuchUser(user: string): Failure {
  return new Failure('not-found', `There is no user ${JSON.stringify(user)}.`)
}

function unavailable(why: string, cause?: Error): Failure {
  return new Failure('unavailable', `The users table cannot be asked: ${why}.`, {
    retryAfterSeconds,
    ...(cause && { cause }),
  })
}

/**
 * The error of the SDK itself is not kept: it holds the answer, and with it hashes. What the service says of itself (it
 * has a status) is told, what a parser says of an answer that it does not understand is not.
 */
function failureOf(error: unknown, { sortKey }: DynamodbTableOptions): Failure {
  if (error instanceof Failure) return error
  if (!(error instanceof Error)) return unavailable('an unknown error')
  const name = /^\w{1,60}$/.exec(error.name)?.[0] ?? 'Error'
  const code = 'code' in error && typeof error.code === 'string' ? /^\w{1,40}$/.exec(error.code)?.[0] : undefined
  if (name === 'ConditionalCheckFailedException') return new Failure('precondition', 'The row is not as it was.')
  const spoken = '$fault' in error && name !== 'SyntaxError'
  const said = spoken ? new Error(error.message.replace(/\p{Cc}/gu, ' ').slice(0, 300)) : undefined
  if (name === 'AccessDeniedException')
    return new Failure('denied', 'The role of this server may not do that with the users table.', {
      ...(said && { cause: said }),
    })
  const other = sortKey === 'user' ? 'username' : 'user'
  const hint = name === 'ValidationException' ? ` (is its sort key ${other}? Then set sortKey: ${other})` : ''
  return unavailable((code ?? name) + hint, said)
}

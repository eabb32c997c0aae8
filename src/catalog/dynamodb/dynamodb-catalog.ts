import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Catalog, Item, NamedItem } from '../catalog.js'
import { checkItem, checkKey } from '../limits.js'
import { bytesOf, elementsOf, ending, itemOf, keyOf, memberOf, numberOf, rowOf } from './rows.js'
import type { Attributes, Row } from './rows.js'
import { unavailable } from './table.js'
import type { Table } from './table.js'
import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { pauseBefore } from '../../store/aws/retries.js'

const namesPerBatch = 100
const batchesAtOnce = 4
const itemsPerPage = 500
const maxTurns = 20
/** Of a batch that brings nothing. */
const maxEmptyHelpings = 6
const firstPauseMilliseconds = 20

export interface DynamodbCatalogNeeds {
  readonly table: Table
  readonly clock: Clock
  /** Ends the connections. */
  readonly closeConnections: () => void
}

/**
 * A catalog in one table of DynamoDB: each change is one conditional write of one row. Whether something has expired is
 * said by the clock of whoever looks, never by the service, which only tidies up in its own time.
 */
export class DynamodbCatalog implements Catalog {
  readonly #table: Table
  readonly #clock: Clock
  readonly #closeConnections: () => void
  /** Versions are unique by the random part, which no other catalog that is open anywhere shares. */
  readonly #versionPrefix = randomBytes(9).toString('base64url') + '.'
  #lastVersion = 0
  readonly #running = new Set<Promise<unknown>>()
  #closed = false

  constructor({ table, clock, closeConnections }: DynamodbCatalogNeeds) {
    this.#table = table
    this.#clock = clock
    this.#closeConnections = closeConnections
  }

  async get(group: string, name: string): Promise<Item | undefined> {
    checkKey(group, name)
    const row = await this.#run(() => this.#look(keyOf(group, name)))
    return row && itemOf(row, this.#clock.now())
  }

  async getAll(group: string, names: readonly string[]): Promise<readonly (Item | undefined)[]> {
    for (const name of names) checkKey(group, name)
    const [only] = names
    if (names.length === 1 && only !== undefined) return [await this.get(group, only)]
    const distinct = [...new Set(names)]
    const batches = Array.from({ length: Math.ceil(distinct.length / namesPerBatch) }, (_, at) =>
      distinct.slice(at * namesPerBatch, (at + 1) * namesPerBatch),
    )
    const found = new Map<string, Item | undefined>()
    const worker = async (): Promise<void> => {
      for (let batch = batches.pop(); batch !== undefined; batch = batches.pop())
        for (const row of await this.#lookAtAll(group, batch)) found.set(row.name, itemOf(row, this.#clock.now()))
    }
    await this.#run(() => Promise.all(Array.from({ length: Math.min(batchesAtOnce, batches.length) }, worker)))
    return names.map((name) => {
      const item = found.get(name)
      return item && distinct.length < names.length ? { ...item, value: new Uint8Array(item.value) } : item
    })
  }

  async swap(
    group: string,
    name: string,
    next: Uint8Array | undefined,
    expected: string | undefined,
    expires?: Date,
  ): Promise<string | false> {
    checkItem(group, name, next)
    const key = keyOf(group, name)
    if (next === undefined) {
      if (expected === undefined) return (await this.get(group, name)) === undefined && ''
      return this.#run(() => this.#remove(key, expected))
    }
    const version = this.#nextVersion()
    const item: Attributes = { ...key, val: bytesOf(next), ver: { S: version }, ...ending(expires) }
    return this.#run(async () => {
      const { outcome } = await this.#table.write('PutItem', {
        Item: item,
        ...conditionOf(expected, this.#clock.now()),
      })
      if (outcome !== 'unknown') return outcome === 'done' ? version : false
      if ((await this.#look(key))?.version === version) return version
      throw unknownOutcome()
    })
  }

  async *list(
    group: string,
    options: { readonly prefix?: string; readonly after?: string } = {},
  ): AsyncIterable<readonly NamedItem[]> {
    const { prefix = '', after = '' } = options
    checkKey(group, prefix)
    const { pk, sk } = keyOf(group, prefix)
    let start: unknown
    if (after.startsWith(prefix)) start = options.after === undefined ? undefined : keyOf(group, after)
    else if (Buffer.compare(Buffer.from(after), Buffer.from(prefix)) > 0) return
    do {
      const now = this.#clock.now()
      const page = await this.#run(() =>
        this.#table.ask('Query', {
          ConsistentRead: true,
          KeyConditionExpression: 'pk = :pk AND begins_with(sk, :sk)',
          FilterExpression: 'attribute_not_exists(ends) OR ends > :now',
          ExpressionAttributeValues: { ':pk': pk, ':sk': sk, ':now': numberOf(now) },
          Limit: itemsPerPage,
          ...(start !== undefined && { ExclusiveStartKey: start }),
        }),
      )
      const batch = elementsOf(memberOf(page, 'Items')).flatMap((each): readonly NamedItem[] => {
        const row = rowOf(each)
        const item = itemOf(row, now)
        return item === undefined ? [] : [{ name: row.name, ...item }]
      })
      if (batch.length > 0) yield batch
      start = memberOf(page, 'LastEvaluatedKey')
    } while (start !== undefined)
  }

  async add(group: string, name: string, by: number, expires: Date): Promise<number> {
    checkKey(group, name)
    const key = keyOf(group, name, 'counter')
    if (by === 0)
      return this.#run(async () => {
        const row = await this.#look(key)
        return row === undefined || row.ends <= this.#clock.now() ? 0 : (row.tally ?? 0)
      })
    return this.#run(() => this.#count(key, by, expires))
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled(this.#running)
    this.#closeConnections()
  }

  /** Where the answer was lost, nobody can tell who has removed it. */
  async #remove(Key: Attributes, expected: string): Promise<string | false> {
    const { outcome } = await this.#table.write('DeleteItem', { Key, ...conditionOf(expected, this.#clock.now()) })
    if (outcome === 'unknown') throw unknownOutcome()
    return outcome === 'done' ? '' : false
  }

  /**
   * Adds to a counter that lives, or begins it; between the two others may do the same, or its time may end. What was
   * added although its answer was lost is told by the version, unless somebody else has added since: then it counts twice.
   */
  async #count(Key: Attributes, by: number, expires: Date): Promise<number> {
    const version = this.#nextVersion()
    for (let turn = 0; turn < maxTurns; turn++) {
      const common = { ':now': numberOf(this.#clock.now()), ':by': numberOf(by), ':ver': { S: version } }
      const { ends, exp } = ending(expires) ?? {}
      const steps = [
        {
          UpdateExpression: 'SET ver = :ver ADD tally :by',
          ConditionExpression: 'ends > :now AND ver <> :ver',
          ExpressionAttributeValues: common,
        },
        {
          UpdateExpression: 'SET ver = :ver, tally = :by, ends = :ends, exp = :exp',
          ConditionExpression: 'attribute_not_exists(pk) OR ends <= :now',
          ExpressionAttributeValues: { ...common, ':ends': ends, ':exp': exp },
        },
      ]
      for (const step of steps) {
        const written = await this.#table.write('UpdateItem', { Key, ReturnValues: 'ALL_NEW', ...step })
        if (written.outcome === 'done') return rowOf(memberOf(written.answer, 'Attributes')).tally ?? 0
        if (written.outcome === 'refused') continue
        const row = await this.#look(Key)
        if (row?.version === version) return row.tally ?? 0
      }
    }
    throw unavailable('a counter never holds still')
  }

  /** The row as it is, ended or not. */
  async #look(Key: object): Promise<Row | undefined> {
    const row = memberOf(await this.#table.ask('GetItem', { Key, ConsistentRead: true }), 'Item')
    return row === undefined ? undefined : rowOf(row)
  }

  /** The rows of at most a hundred distinct names, in any order; the service may give them in several helpings. */
  async #lookAtAll(group: string, names: readonly string[]): Promise<readonly Row[]> {
    const rows: Row[] = []
    let keys: readonly unknown[] = names.map((name) => keyOf(group, name))
    for (let empty = 0; keys.length > 0;) {
      const { found, left } = this.#table.batched(await this.#table.ask('BatchGetItem', this.#table.batch(keys)))
      rows.push(...found.map(rowOf))
      empty = left.length < keys.length ? 0 : empty + 1
      if (empty > maxEmptyHelpings) throw unavailable('it gives none of what was asked for')
      if (left.length > 0) await delay(pauseBefore(empty + 1, firstPauseMilliseconds))
      keys = left
    }
    return rows
  }

  #nextVersion(): string {
    return this.#versionPrefix + (++this.#lastVersion).toString(36)
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new Failure('unavailable', 'The catalog is closed.')
    const running = work()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}

/** The condition of a swap as DynamoDB judges it, in the step of the write. */
function conditionOf(expected: string | undefined, now: number): object {
  if (expected === 'any') return {}
  const at = { ':now': numberOf(now) }
  return expected === undefined
    ? { ConditionExpression: 'attribute_not_exists(pk) OR ends <= :now', ExpressionAttributeValues: at }
    : {
        ConditionExpression: 'ver = :ver AND (attribute_not_exists(ends) OR ends > :now)',
        ExpressionAttributeValues: { ...at, ':ver': { S: expected } },
      }
}

function unknownOutcome(): Failure {
  return new Failure('unavailable', 'The catalog did not say whether it made the change. Look, and try again.', {
    retryAfterSeconds: 1,
  })
}

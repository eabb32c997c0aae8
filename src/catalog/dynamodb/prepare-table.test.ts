import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { startDynamodb } from '../../../test/dynalite-server.js'
import type { LocalDynamodb } from '../../../test/dynalite-server.js'
import { systemClock } from '../../core/clock.js'
import type { AwsClient } from '../../store/aws/aws-client.js'
import { dynamodbClient } from '../dynamodb.js'
import { prepareDynamodbTable, preparingOperations } from './prepare-table.js'
import { requestOf } from './table.js'

let local: LocalDynamodb
let client: AwsClient

beforeAll(async () => {
  local = await startDynamodb({ createTableMs: 400 })
  client = dynamodbClient(local.place('any'))
})
afterAll(async () => {
  client.close()
  await local.stop()
})
beforeEach(() => local.decide())

async function make(table: string, names: readonly string[], type: string): Promise<void> {
  const answer = await client.send(
    requestOf('CreateTable', {
      TableName: table,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: names.map((name) => ({ AttributeName: name, AttributeType: type })),
      KeySchema: names.map((name, at) => ({ AttributeName: name, KeyType: at === 0 ? 'HASH' : 'RANGE' })),
    }),
  )
  expect(answer.status).toBe(200)
}

const toDo = (table: string): readonly string[] => [
  `Make the DynamoDB table ${table}, paid by request, with the keys pk and sk.`,
  `Let DynamoDB remove the rows of ${table} whose time is over (time to live by exp).`,
]

it.each([
  ['keys', ['realm', 'user'], 'S'],
  ['types of keys', ['pk', 'sk'], 'B'],
  ['order of keys', ['sk', 'pk'], 'S'],
  ['number of keys', ['pk'], 'S'],
] as const)('refuses a table with other %s, and leaves it alone', async (what, names, type) => {
  const table = what.replaceAll(' ', '-')
  await make(table, names, type)
  const from = local.seen.length
  await expect(prepareDynamodbTable({ table, client, apply: true })).rejects.toMatchObject({ kind: 'invalid' })
  expect(local.seen.slice(from).map(({ operation }) => operation)).toEqual(['DescribeTable'])
})

it('refuses a table whose rows live by something else', async () => {
  await make('lives', ['pk', 'sk'], 'S')
  const ttl = { TableName: 'lives', TimeToLiveSpecification: { AttributeName: 'until', Enabled: true } }
  await client.send(requestOf('UpdateTimeToLive', ttl))
  await expect(prepareDynamodbTable({ table: 'lives', client, apply: true })).rejects.toMatchObject({
    kind: 'invalid',
    message: expect.stringContaining('by until') as string,
  })
})

it('says where the role may not', async () => {
  local.decide(() => ({ status: 400, type: 'com.amazon.coral.service#AccessDeniedException' }))
  await expect(prepareDynamodbTable({ table: 'forbidden', client, apply: true })).rejects.toMatchObject({
    kind: 'denied',
  })
})

it('does not wait for ever', async () => {
  await make('slow', ['pk', 'sk'], 'S')
  local.decide(({ operation, body }) =>
    operation === 'DescribeTable' && body['TableName'] === 'slow'
      ? { cut: (answer) => ({ Table: { ...(answer as { Table: object }).Table, TableStatus: 'CREATING' } }) }
      : 'pass',
  )
  const preparing = prepareDynamodbTable({ table: 'slow', client, apply: true, patienceMilliseconds: 300 })
  await expect(preparing).rejects.toMatchObject({ kind: 'unavailable' })
})

it('says what is to be done, does it when it is told to, and then has nothing to do', async () => {
  const table = 'postern'
  const from = local.seen.length
  expect(await prepareDynamodbTable({ table, client, apply: false })).toEqual(toDo(table))
  expect(local.seen.slice(from).map(({ operation }) => operation)).toEqual(['DescribeTable'])
  expect(await prepareDynamodbTable({ table, client, apply: true })).toEqual(toDo(table))
  for (const apply of [false, true]) expect(await prepareDynamodbTable({ table, client, apply })).toEqual([])
  const { catalog } = await local.open({ table, clock: systemClock })
  expect(await catalog.swap('g', 'n', Buffer.from('1'), undefined)).not.toBe(false)
  await catalog.close()
  const made = local.seen.find(({ operation, body }) => operation === 'CreateTable' && body['TableName'] === table)
  expect(made?.body).toMatchObject({ BillingMode: 'PAY_PER_REQUEST' })
  const asked = new Set(local.seen.slice(from).map(({ operation }) => operation))
  for (const other of ['GetItem', 'PutItem']) asked.delete(other)
  expect([...asked].sort()).toEqual([...preparingOperations].sort())
})

it('may be done by two at the same time', async () => {
  const both = [0, 1].map(() => prepareDynamodbTable({ table: 'twice', client, apply: true }))
  expect(await Promise.all(both)).toEqual([toDo('twice'), toDo('twice')])
  expect(await prepareDynamodbTable({ table: 'twice', client, apply: false })).toEqual([])
})

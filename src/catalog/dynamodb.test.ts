import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startDynamodb } from '../../test/dynalite-server.js'
import type { Fate, LocalDynamodb, SeenRequest } from '../../test/dynalite-server.js'
import { ManualClock, systemClock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import type { Catalog, NamedItem } from './catalog.js'
import { dynamodbClient } from './dynamodb.js'
import { requestOf } from './dynamodb/table.js'

const table = 'postern'
const quick = { silence: 300, patience: 600, pause: 2 }
const bytes = (text: string): Uint8Array => Buffer.from(text)
const throttled: Fate = { status: 400, type: 'com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException' }
const broken: Fate = { status: 500, type: 'com.amazonaws.dynamodb.v20120810#InternalServerError' }

let local: LocalDynamodb
let group = ''

beforeAll(async () => {
  local = await startDynamodb()
  await local.prepare(table)
})
afterAll(() => local.stop())
beforeEach(({ task }) => {
  local.decide()
  group = task.id
})

async function opened(clock = new ManualClock()): Promise<Catalog> {
  return (await local.open({ table, clock, limits: quick })).catalog
}

/** The first requests have these fates, the others pass. Gives what has come in meanwhile. */
function fated(...fates: readonly Fate[]): () => readonly string[] {
  const from = local.seen.length
  let at = 0
  local.decide(() => fates[at++] ?? 'pass')
  return () => local.seen.slice(from).map(({ operation }) => operation)
}

async function all(batches: AsyncIterable<readonly NamedItem[]>): Promise<NamedItem[]> {
  const found: NamedItem[] = []
  for await (const batch of batches) found.push(...batch)
  return found
}

async function raw(operation: string, input: object, name = table): Promise<unknown> {
  const client = dynamodbClient(local.place(name))
  const answer = await client.send(requestOf(operation, { TableName: name, ...input }))
  client.close()
  expect([answer.status, answer.code]).toEqual([200, undefined])
  return JSON.parse(answer.bytes.toString())
}

describe('a table that cannot be used', () => {
  const openAny = (name: string): Promise<unknown> => local.open({ table: name, clock: systemClock, limits: quick })

  it('is said to be missing, and what makes it', async () => {
    await expect(openAny('another')).rejects.toMatchObject({
      kind: 'invalid',
      message: `There is no DynamoDB table another in ${local.endpoint}: "postern migrate" makes it.`,
    })
  })

  it('is said to have other keys', async () => {
    await raw('CreateTable', {
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }],
      KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }],
      TableName: 'foreign',
    })
    while (!JSON.stringify(await raw('DescribeTable', {}, 'foreign')).includes('"ACTIVE"'));
    await expect(openAny('foreign')).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('it needs the keys pk and sk') as string,
    })
  })

  it('is said to be forbidden', async () => {
    fated({ status: 400, type: 'com.amazon.coral.service#AccessDeniedException' })
    await expect(openAny(table)).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringContaining('"postern policy" prints what it needs') as string,
    })
  })

  it('is unavailable where nothing answers', async () => {
    local.decide(() => 'drop')
    await expect(openAny(table)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('says nothing of itself to clients when it goes away later', async () => {
    const catalog = await opened()
    fated({ status: 400, type: 'com.amazonaws.dynamodb.v20120810#ResourceNotFoundException' })
    await expect(catalog.get(group, 'n')).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'The catalog cannot be reached.',
      retryAfterSeconds: 5,
      cause: new Error('DynamoDB: ResourceNotFoundException'),
    })
    await catalog.close()
  })

  it('is unavailable where it holds what Postern has not written', async () => {
    const catalog = await opened()
    await raw('PutItem', { Item: { pk: { S: `=${group}` }, sk: { S: '=n' }, val: { S: 'text' } } })
    await expect(catalog.get(group, 'n')).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(all(catalog.list(group))).rejects.toMatchObject({ kind: 'unavailable' })
    await catalog.close()
  })
})

describe('an answer that is lost', () => {
  it('does not hide that an item was made', async () => {
    const catalog = await opened()
    const asked = fated('lose')
    const version = await catalog.swap(group, 'n', bytes('1'), undefined)
    expect(asked()).toEqual(['PutItem', 'PutItem', 'GetItem'])
    expect(await catalog.get(group, 'n')).toEqual({ value: new Uint8Array(bytes('1')), version })
    fated('lose', broken, 'lose')
    const next = await catalog.swap(group, 'n', bytes('2'), version as string)
    expect((await catalog.get(group, 'n'))?.version).toBe(next)
    await catalog.close()
  })

  it('is no success where somebody else was faster, and no refusal where nobody can tell', async () => {
    const catalog = await opened()
    const other = await opened()
    const first = (await catalog.swap(group, 'n', bytes('1'), undefined)) as string
    const theirs = { pk: { S: `=${group}` }, sk: { S: '=n' }, ver: { S: 'theirs' }, val: { B: 'AAAA' } }
    let tries = 0
    local.decide(({ operation, body }) => {
      if (operation !== 'PutItem' || JSON.stringify(body['Item']) === JSON.stringify(theirs)) return 'pass'
      return ++tries === 1 ? 'lose' : { after: raw('PutItem', { Item: theirs }) }
    })
    await expect(catalog.swap(group, 'n', bytes('2'), first)).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: 1,
    })
    expect(tries).toBe(2)
    expect((await other.get(group, 'n'))?.version).toBe('theirs')
    await catalog.close()
    await other.close()
  })

  it('leaves open who has removed an item, unless it was to be removed in any case', async () => {
    const catalog = await opened()
    const version = (await catalog.swap(group, 'n', bytes('1'), undefined)) as string
    fated('lose')
    await expect(catalog.swap(group, 'n', undefined, version)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await catalog.get(group, 'n')).toBeUndefined()
    await catalog.swap(group, 'n', bytes('2'), undefined)
    fated('lose')
    expect(await catalog.swap(group, 'n', undefined, 'any')).toBe('')
    await catalog.close()
  })

  it('counts once', async () => {
    const clock = new ManualClock()
    const catalog = await opened(clock)
    const soon = new Date(clock.now() + 1000)
    fated('pass', 'lose')
    expect(await catalog.add(group, 'n', 5, soon)).toBe(5)
    fated('lose')
    expect(await catalog.add(group, 'n', 2, soon)).toBe(7)
    expect(await catalog.add(group, 'n', 0, soon)).toBe(7)
    clock.advanceSeconds(1)
    fated('lose', 'lose')
    expect(await catalog.add(group, 'n', 1, new Date(clock.now() + 1000))).toBe(1)
    await catalog.close()
  })

  it('that never was one is no doubt: a refusal after throttling is a refusal', async () => {
    const catalog = await opened()
    const version = await catalog.swap(group, 'n', bytes('1'), undefined)
    const asked = fated(throttled, throttled)
    expect(await catalog.swap(group, 'n', bytes('2'), undefined)).toBe(false)
    expect(asked()).toEqual(['PutItem', 'PutItem', 'PutItem'])
    fated(throttled)
    expect(await catalog.swap(group, 'n', undefined, 'another')).toBe(false)
    expect((await catalog.get(group, 'n'))?.version).toBe(version)
    await catalog.close()
  })
})

describe('a service that is not well', () => {
  it.each([
    ['throttles', throttled],
    ['is broken', broken],
    ['has no capacity', { status: 503, type: 'ServiceUnavailable' }],
    ['cuts connections', 'drop'],
    ['hangs', 'stall'],
  ] as const)('that %s is unavailable after a bounded number of tries', async (_, fate) => {
    const catalog = await opened()
    local.decide(() => fate)
    const from = local.seen.length
    const begun = performance.now()
    const failures = await Promise.all(
      [
        catalog.get(group, 'n'),
        catalog.getAll(group, ['n', 'm']),
        catalog.swap(group, 'n', bytes('1'), undefined),
        catalog.swap(group, 'n', undefined, 'any'),
        catalog.add(group, 'n', 1, new Date()),
        all(catalog.list(group)),
      ].map((verb: Promise<unknown>) => verb.then(() => 'done', (error: unknown) => error)), // prettier-ignore
    )
    for (const failure of failures) {
      expect(failure).toMatchObject({ kind: 'unavailable' })
      expect(isFailure(failure) && (failure.retryAfterSeconds ?? 0)).toBeGreaterThan(0)
    }
    expect(local.seen.length - from).toBeLessThanOrEqual(6 * 6)
    expect(performance.now() - begun).toBeLessThan(5000)
    local.decide()
    expect(await catalog.get(group, 'another')).toBeUndefined()
    await catalog.close()
  })

  it('lets nobody wait for ever, however many there are', async () => {
    const { catalog } = await local.open({ table, clock: new ManualClock(), limits: { ...quick, maxSockets: 4 } })
    local.decide(() => 'stall')
    const begun = performance.now()
    const ends = await Promise.allSettled(Array.from({ length: 200 }, (_, at) => catalog.get(group, String(at))))
    expect(ends.every(({ status }) => status === 'rejected')).toBe(true)
    expect(performance.now() - begun).toBeLessThan(3000)
    local.decide()
    await catalog.close()
  })

  it('may give a batch in helpings, but must give something', async () => {
    const catalog = await opened()
    const names = Array.from({ length: 30 }, (_, at) => `n${at}`)
    await Promise.all(names.map((name) => catalog.swap(group, name, bytes(name), undefined)))
    local.decide((seen) => (seen.operation === 'BatchGetItem' ? { cut: (body) => helping(seen, body, 7) } : 'pass'))
    const found = await catalog.getAll(group, [...names, 'none'])
    expect(found.map((item) => item && Buffer.from(item.value).toString())).toEqual([...names, undefined])
    local.decide((seen) => (seen.operation === 'BatchGetItem' ? { cut: (body) => helping(seen, body, 0) } : 'pass'))
    await expect(catalog.getAll(group, names)).rejects.toMatchObject({ kind: 'unavailable' })
    await catalog.close()
  })

  it('that answers with nonsense is unavailable', async () => {
    const catalog = await opened()
    local.decide(() => ({ cut: () => 'nonsense' }))
    expect(await catalog.get(group, 'n')).toBeUndefined()
    local.decide(() => ({ cut: () => ({ Item: { val: {} } }) }))
    await expect(catalog.get(group, 'n')).rejects.toMatchObject({ kind: 'unavailable' })
    local.decide(() => ({ cut: () => undefined }))
    await expect(catalog.get(group, 'n')).rejects.toMatchObject({ kind: 'unavailable' })
    await catalog.close()
  })
})

/** Only so many of the keys, and the others to be asked for again. */
function helping(seen: SeenRequest, body: unknown, most: number): unknown {
  type Wanted = Readonly<Record<string, { readonly Keys: readonly { readonly sk: { readonly S: string } }[] }>>
  const keys = (seen.body['RequestItems'] as Wanted)[table]?.Keys ?? []
  const given = new Set(keys.slice(0, most).map(({ sk }) => sk.S))
  const rows = (body as { Responses: Readonly<Record<string, readonly { readonly sk: { readonly S: string } }[]>> })
    .Responses[table]
  return {
    Responses: { [table]: rows?.filter(({ sk }) => given.has(sk.S)) },
    UnprocessedKeys: keys.length > most ? { [table]: { ConsistentRead: true, Keys: keys.slice(most) } } : {},
  }
}

describe('time', () => {
  it('is judged by our clock; the service may remove a row an hour after its end', async () => {
    const clock = new ManualClock()
    const catalog = await opened(clock)
    const ends = clock.now() + 1500
    await catalog.swap(group, 'n', bytes('1'), undefined, new Date(ends))
    await catalog.add(group, 'n', 1, new Date(ends))
    const written = local.seen
      .filter(({ operation }) => operation === 'PutItem' || operation === 'UpdateItem')
      .slice(-3)
    expect(JSON.stringify(written[0]?.body['Item'])).toContain(`"exp":{"N":"${Math.ceil(ends / 1000) + 3600}"}`)
    expect(JSON.stringify(written[2]?.body)).toContain(`":exp":{"N":"${Math.ceil(ends / 1000) + 3600}"}`)
    clock.advanceSeconds(1.499)
    expect(await catalog.get(group, 'n')).toBeDefined()
    clock.advanceSeconds(0.001)
    expect(await catalog.get(group, 'n')).toBeUndefined()
    expect(await catalog.getAll(group, ['n', 'm'])).toEqual([undefined, undefined])
    expect(await all(catalog.list(group))).toEqual([])
    expect(await catalog.add(group, 'n', 0, new Date(ends))).toBe(0)
    await catalog.close()
  })

  it.each([
    ['ahead', 3],
    ['behind', -4],
    ['nearly right', 1],
  ] as const)('of the service that is %s is measured, and told where it matters', async (_, seconds) => {
    const told: object[] = []
    const serviceAhead = (ahead: number): void => local.decide(() => ({ date: new Date(Date.now() + ahead * 1000) }))
    serviceAhead(seconds)
    const log = { warn: (facts: object) => void told.push(facts) }
    let correction = 0
    const clock = { now: () => Date.now() + correction }
    const { catalog, skewMilliseconds } = await local.open({ table, clock, log })
    correction = skewMilliseconds
    const matters = Math.abs(seconds) > 2
    if (matters) expect(Math.abs(skewMilliseconds - seconds * 1000)).toBeLessThan(800)
    else expect(skewMilliseconds).toBe(0)
    await catalog.get(group, 'n')
    expect(told).toHaveLength(matters ? 1 : 0)
    serviceAhead(seconds + 60)
    await catalog.get(group, 'n')
    expect(told).toHaveLength(matters ? 2 : 1)
    expect(told.at(-1)).toEqual({ skewMilliseconds: expect.closeTo(60_000, -4) as number })
    await catalog.close()
  })

  it('is followed where ours is set while the catalog is open', async () => {
    let correction = 0
    let step = 0
    const clock = { now: () => Date.now() + step + correction }
    const { catalog } = await local.open({ table, clock, followSkew: (milliseconds) => (correction += milliseconds) })
    await catalog.swap(group, 'lock', bytes('1'), 'any', new Date(Date.now() + 3600_000))
    expect(correction).toBe(0)
    step = 2 * 3600_000
    await catalog.get(group, 'lock')
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(1500)
    expect(await catalog.get(group, 'lock')).toBeDefined()
    await catalog.close()
  })
})

it('waits for what is under way before it closes, and takes nothing new', async () => {
  const catalog = await opened()
  let isDone = false
  local.decide(() => ({ after: new Promise((resolve) => setTimeout(resolve, 100)) }))
  const writing = catalog.swap(group, 'n', bytes('1'), undefined).finally(() => (isDone = true))
  const closing = catalog.close()
  await expect(catalog.get(group, 'n')).rejects.toMatchObject({ kind: 'unavailable' })
  await closing
  expect(isDone).toBe(true)
  expect(await writing).not.toBe(false)
})

it('goes on behind any name, also one that is not there', async () => {
  const catalog = await opened()
  for (const name of ['a', 'b/1', 'b/2', 'b/3', 'c']) await catalog.swap(group, name, bytes(name), undefined)
  const names = async (options: { readonly prefix?: string; readonly after?: string }): Promise<string[]> =>
    (await all(catalog.list(group, options))).map(({ name }) => name)
  expect(await names({ prefix: 'b/', after: 'b/15' })).toEqual(['b/2', 'b/3'])
  expect(await names({ prefix: 'b/', after: 'a' })).toEqual(['b/1', 'b/2', 'b/3'])
  expect(await names({ prefix: 'b/', after: 'b' })).toEqual(['b/1', 'b/2', 'b/3'])
  expect(await names({ prefix: 'b/', after: 'bb' })).toEqual([])
  expect(await names({ after: '' })).toEqual(['a', 'b/1', 'b/2', 'b/3', 'c'])
  await catalog.swap(group, '', bytes(''), undefined)
  expect(await names({})).toEqual(['', 'a', 'b/1', 'b/2', 'b/3', 'c'])
  expect(await names({ after: '' })).toEqual(['a', 'b/1', 'b/2', 'b/3', 'c'])
  await catalog.close()
})

/** What it says to have done is done, what it says not to have done is not; only `unavailable` leaves it open. */
it('never lies, whatever the network does', async () => {
  const verb = fc.record({
    kind: fc.constantFrom('make', 'replace', 'stale', 'put', 'remove', 'drop'),
    name: fc.constantFrom('a', 'b'),
    fates: fc.array(fc.constantFrom<Fate>('pass', 'lose', 'drop', throttled, broken), { maxLength: 4 }),
  })
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(verb, { minLength: 4, maxLength: 12 }), async (verbs) => {
      const catalog = await opened()
      const own = `${group}-${run++}`
      const known = new Map<string, string>()
      for (const [at, { kind, name, fates }] of verbs.entries()) {
        const held = known.get(name)
        const next = kind === 'remove' || kind === 'drop' ? undefined : bytes(String(at))
        const expected =
          kind === 'make' ? undefined : kind === 'stale' ? 'stale' : kind === 'put' || kind === 'drop' ? 'any' : held
        fated(...fates)
        try {
          const version = await catalog.swap(own, name, next, expected)
          expect(version !== false).toBe(expected === 'any' || expected === held)
          if (version === '') known.delete(name)
          else if (version !== false) known.set(name, version)
          local.decide()
        } catch (error) {
          if (!isFailure(error, 'unavailable')) throw error
          local.decide()
          const found = await catalog.get(own, name)
          // As it was, or as it was to be.
          if (found?.version !== held) expect(found?.value).toEqual(next && new Uint8Array(next))
          if (found === undefined) known.delete(name)
          else known.set(name, found.version)
        }
        expect((await catalog.get(own, name))?.version).toBe(known.get(name))
      }
      await catalog.close()
    }),
    { numRuns: 12 },
  )
})

/** Each version is replaced at most once, and nobody is told otherwise. */
it('lets at most one of several instances win each round, whatever the network does', async () => {
  const fate = fc.constantFrom<Fate>('pass', 'pass', 'lose', 'drop', throttled, broken)
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(fate, { minLength: 12, maxLength: 12 }), async (fates) => {
      const instances = await Promise.all([opened(), opened(), opened()])
      const own = `${group}-${run++}`
      const left = [...fates]
      let held: string | undefined
      for (let round = 0; round < 3; round++) {
        local.decide(() => left.shift() ?? 'pass')
        const tries = await Promise.all(
          instances.map((instance, at) =>
            instance.swap(own, 'n', bytes(`${round} ${at}`), held).catch((error: unknown) => {
              if (isFailure(error, 'unavailable')) return undefined
              throw error
            }),
          ),
        )
        local.decide()
        const found = (await instances[0].get(own, 'n'))?.version
        const won = tries.filter((one) => typeof one === 'string')
        expect(won.length).toBeLessThanOrEqual(1)
        if (found !== undefined && won[0] !== undefined) expect(found).toBe(won[0])
        // Where all were told no, or nothing, somebody must be in doubt.
        if (won.length === 0) expect(tries).toContain(undefined)
        held = found
      }
      await Promise.all(instances.map((instance) => instance.close()))
    }),
    { numRuns: 12 },
  )
})

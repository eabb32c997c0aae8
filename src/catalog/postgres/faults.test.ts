import { Client } from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { password, TestPostgres } from '../../../test/postgres.js'
import { type Ends, PostgresProxy, type Relay, textsOf } from '../../../test/postgres-proxy.js'
import { ManualClock } from '../../core/clock.js'
import { isFailure } from '../../core/failure.js'
import type { Catalog } from '../catalog.js'
import { openPostgresCatalog } from '../postgres.js'

let server: TestPostgres
beforeAll(async () => {
  server = await TestPostgres.start()
}, 60_000)
afterAll(() => server.stop())

const opened: Catalog[] = []
afterEach(async () => {
  for (const catalog of opened.splice(0)) await catalog.close()
})

const clock = new ManualClock()
const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()
const late = new Date(clock.now() + 3600_000)

type Options = Omit<Parameters<typeof openPostgresCatalog>[0], 'at' | 'clock'>

async function open(database: string, port = server.port, options: Options = {}): Promise<Catalog> {
  const { catalog } = await openPostgresCatalog({ at: server.url(database, port), clock, ...options })
  opened.push(catalog)
  return catalog
}

/** What a test does to the connections: to cut one when a question has come, or when its answer has. */
interface Plan {
  cut?: 'question' | 'answer'
  /** Only of statements with this in them; the next one, or as often as `chance` wants. */
  of: RegExp
  chance?: number
  cuts: number
}

/** Loses questions and answers on their way, as the plan wants. */
function losing(plan: Plan): (ends: Ends) => Relay {
  return (ends) => {
    const texts = new Map<string, string>()
    let isAwaited = false
    const isMeant = (statement: string): boolean => {
      if (plan.cut === undefined || !plan.of.test(statement)) return false
      return plan.chance === undefined || Math.random() < plan.chance
    }
    const cut = (): void => {
      plan.cuts++
      if (plan.chance === undefined) delete plan.cut
      ends.cut()
    }
    return {
      fromClient(message) {
        const [first = '', next = ''] = textsOf(message, 2)
        if (message.type === 'P') texts.set(first, next)
        const statement = message.type === 'B' ? texts.get(next) : message.type === 'Q' ? first : undefined
        if (statement !== undefined && isMeant(statement)) {
          if (plan.cut === 'question') {
            cut()
            return
          }
          isAwaited = true
        }
        ends.toServer(message)
      },
      fromServer(message) {
        if (!isAwaited) ends.toClient(message)
        else if (message.type === 'Z') cut()
      },
    }
  }
}

async function throughLosses(): Promise<{
  catalog: Catalog
  plan: Plan
  database: string
  close: () => Promise<void>
}> {
  const plan: Plan = { of: /./, cuts: 0 }
  const proxy = await PostgresProxy.start(server.port, losing(plan))
  const database = await server.newDatabase()
  const catalog = await open(database, proxy.port)
  return { catalog, plan, database, close: () => proxy.close() }
}

describe('an answer that is lost', () => {
  it('is found out: what was written is known to be written, once', async () => {
    const { catalog, plan, close } = await throughLosses()
    const lose = (of: RegExp): void => void Object.assign(plan, { cut: 'answer', of })
    lose(/^INSERT/)
    const first = await catalog.swap('g', 'n', bytes('1'), undefined)
    expect((await catalog.get('g', 'n'))?.version).toBe(first)
    lose(/^UPDATE/)
    if (first === false) throw new Error('the first swap must win')
    const second = await catalog.swap('g', 'n', bytes('2'), first)
    expect(await catalog.get('g', 'n')).toEqual({ value: new Uint8Array(bytes('2')), version: second })
    lose(/^INSERT/)
    const third = await catalog.swap('g', 'n', bytes('3'), 'any', new Date(clock.now() - 1))
    expect(third).toEqual(expect.any(String))
    lose(/^SELECT/)
    expect(await catalog.get('g', 'n')).toBeUndefined()
    lose(/^DELETE/)
    expect(await catalog.swap('g', 'n', undefined, 'any')).toBe('')
    lose(/^COMMIT/)
    expect(await catalog.transaction?.([change('a', '1', undefined), change('b', '1', undefined)])).toBe(true)
    expect((await catalog.getAll('g', ['a', 'b'])).map((item) => text(item?.value))).toEqual(['1', '1'])
    expect(plan.cuts).toBe(6)
    await close()
  })

  it('leaves it open whether a removal was ours, and says so', async () => {
    const { catalog, plan, close } = await throughLosses()
    const version = await catalog.swap('g', 'n', bytes('1'), undefined)
    if (version === false) throw new Error('the first swap must win')
    Object.assign(plan, { cut: 'answer', of: /^DELETE/ })
    await expect(catalog.swap('g', 'n', undefined, version)).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: expect.any(Number) as unknown,
    })
    expect(await catalog.get('g', 'n')).toBeUndefined()
    await close()
  })

  it('never counts twice', async () => {
    const { catalog, plan, close } = await throughLosses()
    Object.assign(plan, { cut: 'answer', of: /^INSERT/ })
    await expect(catalog.add('g', 'n', 1, late)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await catalog.add('g', 'n', 0, late)).toBe(1)
    await close()
  })
})

it('a question that is lost is asked again', async () => {
  const { catalog, plan, close } = await throughLosses()
  const lose = (of: RegExp): void => void Object.assign(plan, { cut: 'question', of })
  lose(/^INSERT/)
  const first = await catalog.swap('g', 'n', bytes('1'), undefined)
  if (first === false) throw new Error('the first swap must win')
  lose(/^UPDATE/)
  const second = await catalog.swap('g', 'n', bytes('2'), first)
  expect(text((await catalog.get('g', 'n'))?.value)).toBe('2')
  if (second === false) throw new Error('the second swap must win')
  lose(/^DELETE/)
  expect(await catalog.swap('g', 'n', undefined, second)).toBe('')
  lose(/^BEGIN/)
  expect(await catalog.transaction?.([change('a', '1', undefined), change('b', '1', undefined)])).toBe(true)
  lose(/^COMMIT/)
  expect(await catalog.transaction?.([change('c', '1', undefined), change('d', '1', undefined)])).toBe(true)
  expect(plan.cuts).toBe(5)
  await close()
})

it('no update is lost or made twice, wherever connections break', async () => {
  const { catalog, plan, database, close } = await throughLosses()
  const calm = await open(database)
  await calm.swap('g', 'n', bytes('0'), undefined)
  Object.assign(plan, { cut: 'answer', of: /./, chance: 0.1 })
  let done = 0
  let doubtful = 0
  const increment = async (): Promise<void> => {
    for (;;) {
      const item = await calm.get('g', 'n')
      try {
        plan.cut = Math.random() < 0.5 ? 'answer' : 'question'
        const next = bytes(String(Number(text(item?.value)) + 1))
        if ((await catalog.swap('g', 'n', next, item?.version)) === false) continue
        done++
      } catch (error) {
        expect(isFailure(error, 'unavailable')).toBe(true)
        doubtful++
      }
      return
    }
  }
  await Promise.all(Array.from({ length: 4 }, async () => { for (let at = 0; at < 40; at++) await increment() })) // prettier-ignore
  const sum = Number(text((await calm.get('g', 'n'))?.value))
  expect(sum).toBeGreaterThanOrEqual(done)
  expect(sum).toBeLessThanOrEqual(done + doubtful)
  expect(plan.cuts).toBeGreaterThan(10)
  await close()
})

it('goes on after connections were ended while nobody used them', async () => {
  const database = await server.newDatabase()
  const catalog = await open(database)
  await Promise.all(Array.from({ length: 10 }, (_, at) => catalog.swap('g', `n${at}`, bytes('1'), undefined)))
  await server.query('postgres', `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}'`)
  await Promise.all(Array.from({ length: 10 }, (_, at) => catalog.swap('g', `n${at}`, bytes('2'), 'any')))
  expect(text((await catalog.get('g', 'n9'))?.value)).toBe('2')
})

it('keeps what was acknowledged when the server dies, is unavailable without it and goes on with it', async () => {
  const other = await TestPostgres.start()
  const { catalog } = await openPostgresCatalog({ at: other.url(await other.newDatabase()), clock })
  const acknowledged = new Set<string>()
  let isDown = false
  const failures: unknown[] = []
  const write = async (worker: number): Promise<void> => {
    for (let at = 0; !isDown; at++) {
      try {
        const name = `${worker}/${at}`
        if ((await catalog.swap('g', name, bytes('1'), undefined)) !== false) acknowledged.add(name)
      } catch (error) {
        failures.push(error)
        isDown = true
      }
    }
  }
  const writing = Promise.all([0, 1, 2, 3].map(write))
  while (acknowledged.size < 100) await new Promise((resolve) => setImmediate(resolve))
  await other.crash()
  await writing
  expect(failures.every((error) => isFailure(error, 'unavailable'))).toBe(true)
  await expect(catalog.get('g', 'n')).rejects.toMatchObject({
    kind: 'unavailable',
    retryAfterSeconds: expect.any(Number) as unknown,
  })
  await other.startAgain()
  const names = [...acknowledged]
  expect((await catalog.getAll('g', names)).filter((item) => item === undefined)).toEqual([])
  await catalog.close()
  await other.stop()
}, 30_000)

/** Another program that holds a row of ours for as long as `work` lasts. */
async function whileHeld(database: string, work: () => Promise<void>): Promise<void> {
  const holder = new Client({ host: '127.0.0.1', port: server.port, user: 'postern', password, database })
  await holder.connect()
  await holder.query('BEGIN')
  await holder.query("SELECT 1 FROM postern_items WHERE name = 'held' FOR UPDATE")
  try {
    await work()
  } finally {
    await holder.end()
  }
}

it('waits for a statement only so long', async () => {
  const database = await server.newDatabase()
  const catalog = await open(database, server.port, { times: { connect: 1000, statement: 200 } })
  await catalog.swap('g', 'held', bytes('1'), undefined)
  await whileHeld(database, async () => {
    await expect(catalog.swap('g', 'held', bytes('2'), 'any')).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('too slow') as unknown,
    })
    expect(text((await catalog.get('g', 'held'))?.value)).toBe('1')
  })
  expect(await catalog.swap('g', 'held', bytes('3'), 'any')).not.toBe(false)
})

it('waits for a connection only so long when all are taken', async () => {
  const database = await server.newDatabase()
  const options = { poolSize: 2, times: { connect: 150, statement: 3000 } }
  const catalog = await open(database, server.port, options)
  await catalog.swap('g', 'held', bytes('1'), undefined)
  let held: Promise<unknown> = Promise.resolve()
  await whileHeld(database, async () => {
    held = Promise.all([catalog.swap('g', 'held', bytes('2'), 'any'), catalog.swap('g', 'held', bytes('2'), 'any')])
    await expect(catalog.get('g', 'other')).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: expect.any(Number) as unknown,
    })
  })
  await held
  expect(await catalog.get('g', 'other')).toBeUndefined()
})

it('reads on from a database that has become read-only, and says what is wrong', async () => {
  const database = await server.newDatabase()
  await (await open(database)).swap('g', 'n', bytes('1'), undefined)
  await server.query('postgres', `ALTER DATABASE ${database} SET default_transaction_read_only = on`)
  const catalog = await open(database)
  await expect(catalog.swap('g', 'n', bytes('2'), 'any')).rejects.toMatchObject({
    kind: 'unavailable',
    message: expect.stringContaining('read-only') as unknown,
  })
  expect(text((await catalog.get('g', 'n'))?.value)).toBe('1')
})

it('removes in time what has expired, a while after, and never what was renewed', async () => {
  const database = await server.newDatabase()
  const catalog = await open(database)
  const many = Array.from({ length: 700 }, (_, at) => at)
  const soon = new Date(clock.now() + 1000)
  await Promise.all(many.map((at) => catalog.swap('g', `old${at}`, bytes('1'), undefined, soon)))
  await Promise.all(many.map((at) => catalog.add('g', `old${at}`, 1, soon)))
  clock.advanceSeconds(30)
  const write = (): Promise<unknown> => Promise.all(Array.from({ length: 1100 }, () => catalog.swap('g', 'n', bytes('1'), 'any'))) // prettier-ignore
  const left = async (): Promise<unknown> =>
    (
      await server.query(
        database,
        'SELECT (SELECT count(*) FROM postern_items)::int AS items, (SELECT count(*) FROM postern_counters)::int AS counters',
      )
    )[0]
  await write()
  expect(await left()).toEqual({ items: 701, counters: 700 })
  await catalog.swap('g', 'old7', bytes('2'), undefined, new Date(clock.now() + 3600_000))
  clock.advanceSeconds(60)
  await write()
  await expect.poll(left, { timeout: 15_000 }).toEqual({ items: 2, counters: 0 })
  expect(text((await catalog.get('g', 'old7'))?.value)).toBe('2')
}, 60_000)

it('keeps ten thousand items in order, whatever their sizes', async () => {
  const database = await server.newDatabase()
  const catalog = await open(database)
  const names = Array.from({ length: 10_000 }, (_, at) => `${String(at % 100).padStart(2, '0')}/${at}`)
  for (let at = 0; at < names.length; at += 500)
    await Promise.all(
      names
        .slice(at, at + 500)
        .map((name, n) => catalog.swap('g', name, Buffer.alloc(n % 97 === 0 ? 20_000 : 10), undefined)),
    )
  const listed: string[] = []
  for await (const batch of catalog.list('g')) listed.push(...batch.map(({ name }) => name))
  expect(listed).toEqual([...names].sort())
  const some: string[] = []
  for await (const batch of catalog.list('g', { prefix: '42/' })) some.push(...batch.map(({ name }) => name))
  expect(some).toHaveLength(100)
}, 60_000)

it('takes a connection that says nonsense for a broken one', async () => {
  const database = await server.newDatabase()
  const nonsense = await PostgresProxy.start(server.port, (ends) => ({
    fromClient: ends.toServer,
    fromServer: (message) => ends.toClient(message.type === 'D' ? { type: '?', body: Buffer.from('what?') } : message),
  }))
  await open(database)
  await expect(open(database, nonsense.port)).rejects.toMatchObject({ kind: 'unavailable' })
  await nonsense.close()
})

function change(name: string, next: string, expected: string | undefined) {
  return { group: 'g', name, next: bytes(next), expected }
}

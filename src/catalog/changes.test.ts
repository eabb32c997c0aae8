import { afterEach, describe, expect, it } from 'vitest'
import type { Change } from '../core/events.js'
import { toPath } from '../core/path.js'
import type { Catalog } from './catalog.js'
import { createChangeFeed } from './changes.js'
import type { ChangeFeed, ChangeFeedOptions, Fed } from './changes.js'
import { openMemoryCatalog } from './memory.js'

const open: { close(): Promise<void> }[] = []

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
})

let time = Date.UTC(2026, 0, 1)
const clock = { now: () => time }

function feed(options: Partial<ChangeFeedOptions> = {}): ChangeFeed {
  const made = createChangeFeed({ clock, keepSeconds: 3600, onError: () => undefined, ...options })
  open.push(made)
  return made
}

function change(name: string): Change {
  return { kind: 'created', path: toPath(`/${name}`), type: 'file', size: 1, etag: 'e', by: 'catalog:ann', at: time }
}

function iterated(from: ChangeFeed): AsyncIterator<readonly Fed[], unknown> {
  return from.follow(undefined, new AbortController().signal)[Symbol.asyncIterator]()
}

const valueOf = (result: IteratorResult<readonly Fed[], unknown>): readonly Fed[] =>
  result.done === true ? [] : result.value

const nameOf = (fed: Fed): string => ('reset' in fed ? 'reset' : fed.change.path.slice(1))

/** Takes so many and stops. */
async function take(from: ChangeFeed, count: number, after?: string): Promise<Fed[]> {
  const stop = new AbortController()
  const found: Fed[] = []
  for await (const batch of from.follow(after, stop.signal)) {
    found.push(...batch)
    if (found.length >= count) break
  }
  return found
}

/** Begins to follow at once, so that nothing that is reported next is missed. */
async function following(from: ChangeFeed, count: number, after?: string): Promise<{ readonly found: Promise<Fed[]> }> {
  const found = take(from, count, after)
  await new Promise((resolve) => setTimeout(resolve, 5))
  return { found }
}

describe('a feed of one process', () => {
  it('gives what is reported while somebody follows', async () => {
    const one = feed()
    one.report(change('before'))
    const { found } = await following(one, 2)
    one.report(change('a'))
    one.report(change('b'))
    expect((await found).map(nameOf)).toEqual(['a', 'b'])
  })

  it('goes on behind any change that it remembers', async () => {
    const one = feed()
    const { found } = await following(one, 3)
    for (const name of ['a', 'b', 'c']) one.report(change(name))
    const [first] = await found
    expect((await take(one, 2, first?.id)).map(nameOf)).toEqual(['b', 'c'])
  })

  it('says so where it has forgotten, and to who comes from before its start', async () => {
    const one = feed()
    const { found } = await following(one, 1)
    one.report(change('a'))
    const [first] = await found
    for (let n = 0; n < 5000; n += 1) one.report(change(`n${n}`))
    expect((await take(one, 1, first?.id)).map(nameOf)).toEqual(['reset'])
    expect((await take(feed(), 1, first?.id)).map(nameOf)).toEqual(['reset'])
  })

  it.each(['', 'x', '000000000.0000000000.', 'z'.repeat(40), '../../etc'])('resets who comes with %j', async (id) => {
    expect((await take(feed(), 1, id)).map(nameOf)).toEqual(['reset'])
  })

  it('resets who takes too slowly, and holds no more for them', async () => {
    const one = feed()
    const slow = iterated(one)
    const first = slow.next()
    await new Promise((resolve) => setTimeout(resolve, 5))
    one.report(change('a'))
    expect(valueOf(await first).map(nameOf)).toEqual(['a'])
    for (let n = 0; n < 3000; n += 1) one.report(change(`n${n}`))
    const rest = valueOf(await slow.next())
    expect(rest.slice(0, 1).map(nameOf)).toEqual(['reset'])
    expect(rest.length).toBeLessThan(1500)
    await slow.return?.()
  })

  it('ends with its signal, and with the feed', async () => {
    const one = feed()
    const stop = new AbortController()
    const ended = (async () => {
      for await (const batch of one.follow(undefined, stop.signal)) expect(batch).toEqual([])
    })()
    stop.abort()
    await ended
    const other = take(one, 1)
    await one.close()
    expect(await other).toEqual([])
  })
})

describe('a feed through a shared catalog', () => {
  it('gives what other processes report, and what this one does, once', async () => {
    const catalog = openMemoryCatalog({ clock })
    const [one, other] = [feed({ catalog }), feed({ catalog })]
    const { found } = await following(one, 3)
    other.report(change('a'))
    one.report(change('b'))
    other.report(change('c'))
    expect((await found).map(nameOf).sort()).toEqual(['a', 'b', 'c'])
  })

  it('goes on where another process was left, and without what was not written yet being lost', async () => {
    const catalog = openMemoryCatalog({ clock })
    const [one, other] = [feed({ catalog }), feed({ catalog })]
    const { found } = await following(one, 1)
    one.report(change('a'))
    const [first] = await found
    time += 60_000
    one.report(change('b'))
    other.report(change('c'))
    expect((await take(one, 2, first?.id)).map(nameOf)).toContain('b')
    await one.close()
    await other.close()
    const third = feed({ catalog })
    expect((await take(third, 2, first?.id)).map(nameOf).sort()).toEqual(['b', 'c'])
  })

  it('resets who was away for too long', async () => {
    const catalog = openMemoryCatalog({ clock })
    const one = feed({ catalog, keepSeconds: 10 })
    const { found } = await following(one, 1)
    one.report(change('a'))
    const [first] = await found
    time += 11_000
    expect((await take(one, 1, first?.id)).map(nameOf)).toEqual(['reset'])
  })

  it('writes nothing that nobody could ever read: batches expire', async () => {
    const catalog = openMemoryCatalog({ clock })
    const one = feed({ catalog, keepSeconds: 10 })
    one.report(change('a'))
    await one.close()
    const listed = async (): Promise<number> => {
      let count = 0
      for await (const items of catalog.list('changes')) count += items.length
      return count
    }
    expect(await listed()).toBe(1)
    time += 11_000
    expect(await listed()).toBe(0)
  })

  it('keeps changes while the catalog is away, and tells of the trouble', async () => {
    const catalog = openMemoryCatalog({ clock })
    let away = true
    const errors: unknown[] = []
    const flaky: Catalog = {
      get: (...args) => catalog.get(...args),
      getAll: (...args) => catalog.getAll(...args),
      swap: (...args) => (away ? Promise.reject(new Error('away')) : catalog.swap(...args)),
      list: (...args) => catalog.list(...args),
      add: (...args) => catalog.add(...args),
      close: () => catalog.close(),
    }
    const one = feed({ catalog: flaky, onError: (error) => errors.push(error) })
    const other = feed({ catalog })
    const { found } = await following(other, 1)
    one.report(change('a'))
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    away = false
    expect((await found).map(nameOf)).toEqual(['a'])
  })

  it('writes at once where the process may stand still, again and again', async () => {
    const catalog = openMemoryCatalog({ clock })
    const one = feed({ catalog })
    await one.flush()
    for (const name of ['a', 'b']) {
      const before = one.here()
      time += 1
      one.report(change(name))
      await one.flush()
      expect((await take(feed({ catalog }), 1, before)).map(nameOf)).toEqual([name])
    }
  })

  it('takes batches of any size', async () => {
    const catalog = openMemoryCatalog({ clock })
    const [one, other] = [feed({ catalog }), feed({ catalog })]
    const { found } = await following(other, 1500)
    for (let n = 0; n < 1500; n += 1)
      one.report({ ...change(`${n}`), path: toPath(`/${n}${'x'.repeat(200)}/${'y'.repeat(200)}`) })
    expect(await found).toHaveLength(1500)
  })
})

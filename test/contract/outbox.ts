import { beforeEach, describe, expect, it } from 'vitest'
import type { Catalog } from '../../src/catalog/catalog.js'
import { catalogOutbox, maxOutboxBytes, outboxLeaseMilliseconds } from '../../src/catalog/outbox.js'
import type { DeadMessage, Outbox } from '../../src/catalog/outbox.js'
import { Leases } from '../../src/jobs/lease.js'
import { ManualClock } from '../../src/core/clock.js'

export interface OutboxContract {
  readonly name: string
  /** A new and empty one. */
  readonly open: (clock: ManualClock) => Promise<Catalog>
}

const secret = new Uint8Array(32).fill(7)
const daySeconds = 24 * 3600

/** What every catalog must do for messages that wait, and for leases of jobs. */
export function outboxContract({ name, open }: OutboxContract): void {
  describe(`outbox in a catalog: ${name}`, () => {
    let clock: ManualClock
    let catalog: Catalog
    let outbox: Outbox
    let dead: DeadMessage[]

    const outboxOf = (options: { readonly secret?: Uint8Array } = {}): Outbox =>
      catalogOutbox({ catalog, clock, secret, onDead: (message) => dead.push(message), random: () => 1, ...options })

    beforeEach(async () => {
      clock = new ManualClock()
      dead = []
      catalog = await open(clock)
      outbox = outboxOf()
      return () => catalog.close()
    })

    const ids = async (from = outbox): Promise<readonly string[]> => (await from.due(100)).map(({ id }) => id).sort()

    it('refuses what is too large, is no JSON or has no proper id', async () => {
      await expect(outbox.put({ kind: 'mail', body: 'x'.repeat(maxOutboxBytes) })).rejects.toMatchObject({ kind: 'too-large' }) // prettier-ignore
      await expect(outbox.put({ kind: 'mail', body: undefined })).rejects.toMatchObject({ kind: 'invalid' })
      for (const id of ['', 'x'.repeat(501), '\ud800'])
        await expect(outbox.put({ kind: 'mail', id, body: 1 })).rejects.toMatchObject({ kind: 'invalid' })
      expect(await outbox.census()).toEqual({ waiting: 0, dead: 0 })
    })

    it('keeps bodies under seal, and gives none that another secret has sealed', async () => {
      await outbox.put({ kind: 'mail', id: 'reset', body: { link: 'https://files.example.org/-/password#geheim' } })
      for (const group of ['outbox', 'outbox-bodies'])
        for await (const items of catalog.list(group))
          for (const { value } of items) expect(Buffer.from(value).toString('latin1')).not.toContain('geheim')
      expect(await outboxOf({ secret: new Uint8Array(32) }).due(10)).toEqual([])
      expect(dead).toMatchObject([{ id: 'reset', kind: 'mail' }])
    })

    it('gives each message to one who asks, until its time is over', async () => {
      for (const id of ['a', 'b', 'c']) await outbox.put({ kind: 'mail', id, body: { to: id } })
      const [one, other] = await Promise.all([outbox.due(2), outboxOf().due(100)])
      expect([...one, ...other].map(({ id }) => id).sort()).toEqual(['a', 'b', 'c'])
      expect(await ids()).toEqual([])
      clock.advanceSeconds(outboxLeaseMilliseconds / 1000)
      expect(await ids()).toEqual(['a', 'b', 'c'])
    })

    it('gives those first that wait longest, with what was put', async () => {
      await outbox.put({ kind: 'webhook', id: 'old', body: { n: [1, 'ä'] } })
      clock.advanceSeconds(1)
      await outbox.put({ kind: 'mail', id: 'new', body: 'text' })
      expect(await outbox.due(1)).toEqual([
        { id: 'old', kind: 'webhook', body: { n: [1, 'ä'] }, attempts: 0, expires: clock.now() + 3 * daySeconds * 1000 - 1000 },
      ]) // prettier-ignore
      expect(await outbox.due(1)).toMatchObject([{ id: 'new' }])
    })

    it('takes the same id once, also after it was sent', async () => {
      await Promise.all([1, 2, 3].map((body) => outboxOf().put({ kind: 'mail', id: 'one', body })))
      expect(await ids()).toEqual(['one'])
      await outbox.put({ kind: 'mail', id: 'one', body: 4 })
      await outbox.done('one')
      await outbox.put({ kind: 'mail', id: 'one', body: 5 })
      clock.advanceSeconds(3600)
      expect(await ids()).toEqual([])
      clock.advanceSeconds(daySeconds)
      await outbox.put({ kind: 'mail', id: 'one', body: 6 })
      expect(await outbox.due(1)).toMatchObject([{ id: 'one', body: 6 }])
    })

    it('holds no body of what was sent', async () => {
      await outbox.put({ kind: 'mail', id: 'one', body: 1 })
      await outbox.due(1)
      await outbox.done('one')
      for await (const items of catalog.list('outbox-bodies')) expect(items).toEqual([])
      await outbox.done('one')
      await outbox.done('never put')
    })

    it('tries again ever later, and gives up in the end, loudly and once', async () => {
      await outbox.put({ kind: 'mail', id: 'one', body: 1 })
      const begun = clock.now()
      const pauses: number[] = []
      for (let last = begun; ;) {
        const [message] = await outbox.due(1)
        if (message !== undefined) {
          pauses.push((clock.now() - last) / 1000)
          last = clock.now()
          await outbox.failed('one', 'The server is away.')
        }
        if ((await outbox.census()).waiting === 0) break
        clock.advanceSeconds(message === undefined && pauses.length > 9 ? 600 : 5)
      }
      expect(pauses.slice(0, 6)).toEqual([0, 5, 10, 20, 40, 80])
      // Looked at every ten minutes by then.
      expect(Math.max(...pauses)).toBeGreaterThanOrEqual(3600)
      expect(Math.max(...pauses)).toBeLessThan(4200)
      expect(clock.now() - begun).toBeGreaterThan(2.9 * daySeconds * 1000)
      expect(clock.now() - begun).toBeLessThan(3 * daySeconds * 1000)
      expect(dead).toEqual([{ id: 'one', kind: 'mail', attempts: pauses.length, why: 'The server is away.' }])
      expect(await outbox.census()).toEqual({ waiting: 0, dead: 1 })
      clock.advanceSeconds(8 * daySeconds)
      expect(await outbox.census()).toEqual({ waiting: 0, dead: 0 })
    }, 60_000)

    it('gives up at once what will never work, and waits as long as it was told to', async () => {
      await outbox.put({ kind: 'mail', id: 'bad', body: 1 })
      await outbox.put({ kind: 'webhook', id: 'busy', body: 1 })
      expect(await ids()).toEqual(['bad', 'busy'])
      await outbox.failed('bad', 'no such mailbox', { permanent: true })
      await outbox.failed('busy', 'later', { retryAfterSeconds: 900 })
      expect(dead).toMatchObject([{ id: 'bad', attempts: 1, why: 'no such mailbox' }])
      clock.advanceSeconds(899)
      expect(await ids()).toEqual([])
      clock.advanceSeconds(1)
      expect(await outbox.due(5)).toMatchObject([{ id: 'busy', attempts: 1 }])
    })

    it('gives up what nobody came for', async () => {
      await outbox.put({ kind: 'mail', id: 'late', body: 1, expires: clock.now() + 1000 })
      clock.advanceSeconds(1)
      expect(await ids()).toEqual([])
      expect(dead).toMatchObject([{ id: 'late', attempts: 0 }])
      await outbox.failed('late', 'too late')
      expect(dead).toHaveLength(1)
    })

    it('tells at once that something was put', async () => {
      let told = 0
      const stop = outbox.onPut(() => (told += 1))
      await outbox.put({ kind: 'mail', body: 1 })
      expect(told).toBe(1)
      stop()
      await outbox.put({ kind: 'mail', body: 1 })
      expect(told).toBe(1)
      expect(await outbox.census()).toEqual({ waiting: 2, dead: 0 })
    })
  })

  describe(`leases in a catalog: ${name}`, () => {
    it('are one runner’s at a time, and free when given back', async () => {
      const clock = new ManualClock()
      const catalog = await open(clock)
      try {
        const runners = ['a', 'b', 'c', 'd'].map((by) => new Leases(catalog, clock, by))
        for (let round = 0; round < 5; round++) {
          const answers = await Promise.all(runners.map((runner) => runner.take('work')))
          const held = answers.flatMap((answer) => ('release' in answer ? [answer] : []))
          expect(held).toHaveLength(1)
          expect(await runners[0]?.holder('work')).toMatchObject({ since: clock.now() })
          await held[0]?.release()
          expect(await runners[0]?.holder('work')).toBeUndefined()
        }
      } finally {
        await catalog.close()
      }
    })
  })
}

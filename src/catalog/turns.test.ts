import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { openMemoryCatalog } from './memory.js'
import { catalogTurns } from './turns.js'

describe('turns in a catalog', () => {
  it('let one work at a time, of all instances, and lose none', async () => {
    const clock = new ManualClock()
    const catalog = openMemoryCatalog({ clock })
    const one = catalogTurns(catalog, clock, 'bucket')
    const other = catalogTurns(catalog, clock, 'bucket')
    let working = 0
    let count = 0
    await Promise.all(
      Array.from({ length: 20 }, (_, at) =>
        (at % 2 === 0 ? one : other).inTurn('key', async () => {
          expect(++working).toBe(1)
          const seen = count
          await turn()
          count = seen + 1
          working--
        }),
      ),
    )
    expect(count).toBe(20)
  })

  it('do not keep other names or other places waiting', async () => {
    const clock = new ManualClock()
    const catalog = openMemoryCatalog({ clock })
    const done: string[] = []
    await catalogTurns(catalog, clock, 'one').inTurn('a', async () => {
      await catalogTurns(catalog, clock, 'one').inTurn('b', async () => void done.push('b'))
      await catalogTurns(catalog, clock, 'two').inTurn('a', async () => void done.push('a of two'))
    })
    expect(done).toEqual(['b', 'a of two'])
  })

  it('pass on what the work throws, and go on with the next', async () => {
    const clock = new ManualClock()
    const turns = catalogTurns(openMemoryCatalog({ clock }), clock, 'bucket')
    const broken = new Error('broken')
    const first = turns.inTurn('key', async () => Promise.reject(broken))
    const second = turns.inTurn('key', async () => 'done')
    await expect(first).rejects.toBe(broken)
    expect(await second).toBe('done')
  })

  it('end for an instance that died', async () => {
    const clock = new ManualClock()
    const catalog = openMemoryCatalog({ clock })
    const dead = catalogTurns(catalog, clock, 'bucket')
    let began: () => void = () => undefined
    const begun = new Promise<void>((resolve) => (began = resolve))
    void dead.inTurn('key', () => {
      began()
      return new Promise(() => undefined)
    })
    await begun
    const next = catalogTurns(catalog, clock, 'bucket').inTurn('key', async () => 'done')
    clock.advanceSeconds(61)
    expect(await next).toBe('done')
  })
})

import { describe, expect, it } from 'vitest'
import { systemClock } from '../core/clock.js'
import { catalogPart } from './catalog-part.js'
import { openMemoryCatalog } from './memory.js'

const value = Buffer.from('v')

describe('a part of a catalog', () => {
  it('shows nothing of other parts and of the whole, by any verb', async () => {
    const whole = openMemoryCatalog({ clock: systemClock })
    const [one, other] = [catalogPart(whole, '1000'), catalogPart(whole, '1001')]
    await one.swap('g', 'n', value, undefined)
    await one.add('g', 'count', 5, new Date(Date.now() + 60_000))
    await one.transaction?.([{ group: 'g', name: 'm', next: value, expected: undefined }])
    await one.claim?.('g', 'k', value, { absent: [] })
    for (const stranger of [other, whole]) {
      expect(await stranger.get('g', 'n')).toBeUndefined()
      expect(await stranger.getAll('g', ['n', 'm', 'k'])).toEqual([undefined, undefined, undefined])
      for await (const items of stranger.list('g')) expect(items).toEqual([])
      expect(await stranger.add('g', 'count', 1, new Date(Date.now() + 60_000))).toBe(1)
      expect(stranger.glance?.('g', ['n']) ?? [undefined]).toEqual([undefined])
      expect(stranger.glanceList?.('g', '') ?? []).toEqual([])
    }
    expect((await one.getAll('g', ['n', 'm', 'k'])).map((item) => Buffer.from(item?.value ?? []).toString())).toEqual([
      'v',
      'v',
      'v',
    ])
    expect(await one.add('g', 'count', 0, new Date(Date.now() + 60_000))).toBe(5)
  })

  it('is not closed apart from the whole', async () => {
    const whole = openMemoryCatalog({ clock: systemClock })
    await catalogPart(whole, '1000').close()
    expect(await whole.swap('g', 'n', value, undefined)).not.toBe(false)
  })
})

import { expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import { openMemoryCatalog } from './memory.js'
import { SourceChanges } from './source-changes.js'

function setUp() {
  const clock = new ManualClock()
  const catalog = openMemoryCatalog({ clock })
  return { clock, catalog, changes: new SourceChanges(catalog, clock, 'here') }
}

it('concerns the one account of the one place, and nobody else', async () => {
  const { clock, catalog, changes } = setUp()
  const elsewhere = new SourceChanges(catalog, clock, 'there')
  const before = await changes.stampOf('alice')
  expect(changes.isChange(before)).toBe(false)
  await changes.tell('alice')
  for (const stamp of [await changes.stampOf('Alice'), await changes.stampOf('bob'), await elsewhere.stampOf('alice')])
    expect(stamp).toBe(before)
  expect(await changes.stampOf('alice')).not.toBe(before)
})

it('never gives a stamp of before again, even when it has been forgotten', async () => {
  const { clock, changes } = setUp()
  const seen = new Set<string>()
  for (let at = 0; at < 5; at++) {
    await changes.tell('alice')
    const stamp = await changes.stampOf('alice')
    expect(changes.isChange(stamp)).toBe(true)
    expect(seen.has(stamp)).toBe(false)
    seen.add(stamp)
  }
  const last = await changes.stampOf('alice')
  clock.advanceSeconds(86_400)
  expect(await changes.stampOf('alice')).toBe(last)
  clock.advanceSeconds(7200)
  expect(await changes.stampOf('alice')).not.toBe(last)
})

it('takes any text for an account', async () => {
  const { changes } = setUp()
  for (const account of ['', '\0', '\ud800', '../..', 'é'.repeat(1_000_000)]) {
    await changes.tell(account)
    expect(changes.isChange(await changes.stampOf(account))).toBe(true)
  }
})

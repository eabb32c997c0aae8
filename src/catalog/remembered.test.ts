import { describe, expect, it } from 'vitest'
import { ManualClock } from '../core/clock.js'
import type { Catalog } from './catalog.js'
import { openMemoryCatalog } from './memory.js'
import { remembered } from './remembered.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const textOf = async (item: ReturnType<Catalog['get']>): Promise<string | undefined> => {
  const found = await item
  return found && Buffer.from(found.value).toString()
}

function open(): { clock: ManualClock; shared: Catalog; ours: Catalog; gets: () => number } {
  const clock = new ManualClock()
  const shared = openMemoryCatalog({ clock })
  let gets = 0
  const counting: Catalog = {
    get: (group, name) => {
      gets++
      return shared.get(group, name)
    },
    getAll: (group, names) => shared.getAll(group, names),
    swap: (...args) => shared.swap(...args),
    list: (...args) => shared.list(...args),
    add: (...args) => shared.add(...args),
    close: () => shared.close(),
  }
  return {
    clock,
    shared,
    ours: remembered(counting, { groups: ['users'], milliseconds: 1000, clock }),
    gets: () => gets,
  }
}

describe('a catalog that remembers some groups for a moment', () => {
  it('sees what others have changed within that time, also what they have removed', async () => {
    const { clock, shared, ours } = open()
    await shared.swap('users', 'ann', bytes('may'), undefined)
    expect(await textOf(ours.get('users', 'ann'))).toBe('may')
    await shared.swap('users', 'ann', undefined, 'any')
    clock.advanceSeconds(1)
    expect(await ours.get('users', 'ann')).toBeUndefined()
    await shared.swap('users', 'ann', bytes('again'), undefined)
    clock.advanceSeconds(1)
    expect(await textOf(ours.get('users', 'ann'))).toBe('again')
  })

  it('asks once for many', async () => {
    const { shared, ours, gets } = open()
    await shared.swap('users', 'ann', bytes('x'), undefined)
    await Promise.all([ours.get('users', 'ann'), ours.get('users', 'ann'), ours.getAll('users', ['ann', 'ann'])])
    expect(gets()).toBe(1)
  })

  it('sees at once what it has written itself, or failed to write', async () => {
    const { shared, ours } = open()
    expect(await ours.get('users', 'ann')).toBeUndefined()
    const version = await ours.swap('users', 'ann', bytes('1'), undefined)
    expect(await textOf(ours.get('users', 'ann'))).toBe('1')
    await shared.swap('users', 'ann', bytes('2'), 'any')
    expect(await ours.swap('users', 'ann', bytes('3'), version === false ? '' : version)).toBe(false)
    expect(await textOf(ours.get('users', 'ann'))).toBe('2')
  })

  it('remembers nothing of other groups', async () => {
    const { shared, ours } = open()
    await ours.get('locks', 'a')
    await shared.swap('locks', 'a', bytes('1'), undefined)
    expect(await textOf(ours.get('locks', 'a'))).toBe('1')
  })

  it('does not remember a failure, nor what was seen under a clock that was set back', async () => {
    const { clock, shared, ours } = open()
    await expect(ours.get('users', 'n'.repeat(1000))).rejects.toMatchObject({ kind: 'too-large' })
    await expect(ours.get('users', 'n'.repeat(1000))).rejects.toMatchObject({ kind: 'too-large' })
    await ours.get('users', 'ann')
    await shared.swap('users', 'ann', bytes('1'), undefined)
    clock.advanceSeconds(-3600)
    expect(await textOf(ours.get('users', 'ann'))).toBe('1')
  })
})

import { describe, expect, it } from 'vitest'
import type { Catalog, NamedItem } from '../../src/catalog/catalog.js'
import { maxGroupBytes, maxNameBytes, maxValueBytes } from '../../src/catalog/catalog.js'
import { maxChanges } from '../../src/catalog/limits.js'
import { ManualClock } from '../../src/core/clock.js'

/** One implementation under test. `again` opens what `open` last opened once more, as another process would. */
export interface CatalogSubject {
  readonly name: string
  open(clock: ManualClock): Promise<Catalog>
  readonly again?: (clock: ManualClock) => Promise<Catalog>
}

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString()

async function all(batches: AsyncIterable<readonly NamedItem[]>): Promise<NamedItem[]> {
  const found: NamedItem[] = []
  for await (const batch of batches) found.push(...batch)
  return found
}

const namesOf = (items: readonly NamedItem[]): string[] => items.map(({ name }) => name)

/** What every catalog must do. */
export function catalogContract(subject: CatalogSubject): void {
  describe(`catalog contract: ${subject.name}`, () => {
    const withCatalog =
      (body: (catalog: Catalog, clock: ManualClock) => Promise<void>): (() => Promise<void>) =>
      async () => {
        const clock = new ManualClock()
        const catalog = await subject.open(clock)
        try {
          await body(catalog, clock)
        } finally {
          await catalog.close()
        }
      }

    it(
      'refuses what is over its limits, in bytes',
      withCatalog(async (catalog) => {
        const value = bytes('x')
        const tooLarge = { kind: 'too-large' }
        const expires = new Date(0)
        await expect(catalog.swap('g'.repeat(maxGroupBytes + 1), 'n', value, 'any')).rejects.toMatchObject(tooLarge)
        await expect(catalog.swap('g', 'é'.repeat(maxNameBytes / 2 + 1), value, 'any')).rejects.toMatchObject(tooLarge)
        await expect(catalog.get('g', 'n'.repeat(maxNameBytes + 1))).rejects.toMatchObject(tooLarge)
        await expect(catalog.add('g', 'n'.repeat(maxNameBytes + 1), 1, expires)).rejects.toMatchObject(tooLarge)
        await expect(catalog.swap('g', 'n', Buffer.alloc(maxValueBytes + 1), 'any')).rejects.toMatchObject(tooLarge)
        const many = Array.from({ length: maxChanges + 1 }, (_, at) => ({
          group: 'g',
          name: String(at),
          next: value,
          expected: undefined,
        }))
        if (catalog.transaction) await expect(catalog.transaction(many)).rejects.toMatchObject(tooLarge)
        expect(await all(catalog.list('g'))).toEqual([])
      }),
    )

    it(
      'takes what is exactly at its limits, and nothing at all',
      withCatalog(async (catalog) => {
        const group = 'g'.repeat(maxGroupBytes)
        const name = 'é'.repeat(maxNameBytes / 2)
        const value = Buffer.alloc(maxValueBytes, 7)
        expect(await catalog.swap(group, name, value, undefined)).toEqual(expect.any(String))
        expect(Buffer.compare((await catalog.get(group, name))?.value ?? bytes(''), value)).toBe(0)
        expect(await catalog.swap('', '', bytes(''), undefined)).toEqual(expect.any(String))
        expect((await catalog.get('', ''))?.value.byteLength).toBe(0)
        expect(namesOf(await all(catalog.list('')))).toEqual([''])
        expect(await catalog.swap('', '', undefined, 'any')).toBe('')
        expect(await catalog.get('', '')).toBeUndefined()
      }),
    )

    it(
      'gives many items at once, each in its place, as `get` would',
      withCatalog(async (catalog, clock) => {
        const names = Array.from({ length: 250 }, (_, at) => `name ${at}`)
        for (const name of names.filter((_, at) => at % 3 === 0)) await catalog.swap('g', name, bytes(name), undefined)
        await catalog.swap('g', 'name 3', bytes('late'), 'any', new Date(clock.now() + 1000))
        await catalog.swap('other', 'name 1', bytes('of another group'), undefined)
        clock.advanceSeconds(1)
        const wanted = [...names, 'name 0', 'never']
        const found = await catalog.getAll('g', wanted)
        expect(found).toEqual(await Promise.all(wanted.map((name) => catalog.get('g', name))))
        expect(found.filter((item) => item !== undefined)).toHaveLength(84)
        expect(text(found[6]?.value)).toBe('name 6')
        expect(await catalog.getAll('g', [])).toEqual([])
        await expect(catalog.getAll('g', ['fine', 'n'.repeat(maxNameBytes + 1)])).rejects.toMatchObject({
          kind: 'too-large',
        })
      }),
    )

    it(
      'refuses names that have no UTF-8 form',
      withCatalog(async (catalog) => {
        await expect(catalog.swap('g', 'a\ud800', bytes(''), 'any')).rejects.toMatchObject({ kind: 'invalid' })
        await expect(catalog.get('g', '\udc00')).rejects.toMatchObject({ kind: 'invalid' })
      }),
    )

    it(
      'is unavailable once closed',
      withCatalog(async (catalog) => {
        await catalog.close()
        await expect(catalog.get('g', 'n')).rejects.toMatchObject({ kind: 'unavailable' })
        await expect(catalog.swap('g', 'n', bytes(''), 'any')).rejects.toMatchObject({ kind: 'unavailable' })
        await expect(all(catalog.list('g'))).rejects.toMatchObject({ kind: 'unavailable' })
      }),
    )

    it(
      'swaps only what is expected',
      withCatalog(async (catalog) => {
        expect(await catalog.get('g', 'n')).toBeUndefined()
        expect(await catalog.swap('g', 'n', bytes('0'), 'a version')).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, 'a version')).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, undefined)).toBe('')
        const first = await catalog.swap('g', 'n', bytes('1'), undefined)
        if (first === false) throw new Error('the first swap must win')
        expect(await catalog.swap('g', 'n', bytes('2'), undefined)).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, undefined)).toBe(false)
        expect(await catalog.get('g', 'n')).toEqual({ value: new Uint8Array(bytes('1')), version: first })
        const second = await catalog.swap('g', 'n', bytes('3'), first)
        expect(second).not.toBe(first)
        expect(await catalog.swap('g', 'n', bytes('4'), first)).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, first)).toBe(false)
        expect(text((await catalog.get('g', 'n'))?.value)).toBe('3')
        expect(await catalog.swap('g', 'n', bytes('5'), 'any')).not.toBe(false)
        expect(await catalog.swap('g', 'n', undefined, 'any')).toBe('')
        expect(await catalog.swap('g', 'n', undefined, 'any')).toBe('')
        expect(await catalog.get('g', 'n')).toBeUndefined()
      }),
    )

    it(
      'never gives a version again',
      withCatalog(async (catalog, clock) => {
        const versions = new Set<unknown>()
        const writes = 40
        for (let at = 0; at < writes; at++) {
          versions.add(await catalog.swap('g', 'n', bytes('same'), 'any', new Date(clock.now() + 1000)))
          if (at % 3 === 0) await catalog.swap('g', 'n', undefined, 'any')
          if (at % 5 === 0) clock.advanceSeconds(2)
        }
        expect(versions.size).toBe(writes)
        expect(versions.has('')).toBe(false)
        expect(versions.has('any')).toBe(false)
        expect(versions.has(false)).toBe(false)
      }),
    )

    it(
      'lets one of many concurrent swaps win',
      withCatalog(async (catalog) => {
        const tries = Array.from({ length: 20 }, (_, at) => at)
        const made = await Promise.all(tries.map((at) => catalog.swap('g', 'n', bytes(String(at)), undefined)))
        expect(made.filter((version) => version !== false)).toHaveLength(1)
        const present = await catalog.get('g', 'n')
        const replaced = await Promise.all(
          tries.map((at) => catalog.swap('g', 'n', bytes(String(at)), present?.version)),
        )
        expect(replaced.filter((version) => version !== false)).toHaveLength(1)
      }),
    )

    it(
      'keeps groups and names apart',
      withCatalog(async (catalog) => {
        await catalog.swap('ab', 'c', bytes('1'), undefined)
        await catalog.swap('a', 'bc', bytes('2'), undefined)
        await catalog.swap('a', 'BC', bytes('3'), undefined)
        expect(text((await catalog.get('ab', 'c'))?.value)).toBe('1')
        expect(text((await catalog.get('a', 'bc'))?.value)).toBe('2')
        expect(await catalog.get('a', 'c')).toBeUndefined()
        expect(namesOf(await all(catalog.list('a')))).toEqual(['BC', 'bc'])
      }),
    )

    it(
      'copies values in and out',
      withCatalog(async (catalog) => {
        const value = Buffer.from('kept')
        const written = catalog.swap('g', 'n', value, undefined)
        value.fill(0)
        await written
        ;(await catalog.get('g', 'n'))?.value.fill(0)
        for (const { value: listed } of await all(catalog.list('g'))) listed.fill(0)
        expect(text((await catalog.get('g', 'n'))?.value)).toBe('kept')
      }),
    )

    it(
      'takes any name and lists in UTF-8 byte order',
      withCatalog(async (catalog) => {
        const names = [
          "it's",
          '"q"',
          '%',
          '_',
          'a',
          'a\0',
          'a\0b',
          'a-',
          'a/',
          'a.',
          'é',
          'e\u0301',
          '\uffee',
          '😀',
          '\n',
          ';--',
        ]
        for (const name of names) await catalog.swap('g', name, bytes(name), undefined)
        const listed = await all(catalog.list('g'))
        const sorted = [...names].sort((a, b) => Buffer.compare(bytes(a), bytes(b)))
        expect(namesOf(listed)).toEqual(sorted)
        for (const { name, value, version } of listed) {
          expect(text(value)).toBe(name)
          expect((await catalog.get('g', name))?.version).toBe(version)
        }
        expect(namesOf(await all(catalog.list('g', { prefix: 'a' })))).toEqual(['a', 'a\0', 'a\0b', 'a-', 'a.', 'a/'])
        expect(namesOf(await all(catalog.list('g', { prefix: 'a', after: 'a\0' })))).toEqual(['a\0b', 'a-', 'a.', 'a/'])
        expect(namesOf(await all(catalog.list('g', { after: '\uffee' })))).toEqual(['😀'])
        expect(namesOf(await all(catalog.list('g', { prefix: '%' })))).toEqual(['%'])
        expect(namesOf(await all(catalog.list('g', { prefix: '_' })))).toEqual(['_'])
        expect(await all(catalog.list('g', { prefix: 'a', after: 'b' }))).toEqual([])
        expect(namesOf(await all(catalog.list('g', { prefix: 'é', after: 'a' })))).toEqual(['é'])
        expect(await all(catalog.list('g', { after: '😀' }))).toEqual([])
      }),
    )

    it(
      'lists in batches of at most 500, while items change under it',
      withCatalog(async (catalog) => {
        const names = Array.from({ length: 1001 }, (_, at) => String(at).padStart(5, '0'))
        await Promise.all(names.map((name) => catalog.swap('g', name, bytes(name), undefined)))
        const seen: string[] = []
        for await (const batch of catalog.list('g')) {
          expect(batch.length).toBeLessThanOrEqual(500)
          seen.push(...namesOf(batch))
          await Promise.all(batch.map(({ name, version }) => catalog.swap('g', name, undefined, version)))
        }
        expect(seen).toEqual(names)
        expect(await all(catalog.list('g'))).toEqual([])
      }),
    )

    it(
      'lists many large values whole',
      withCatalog(async (catalog) => {
        const names = Array.from({ length: 12 }, (_, at) => String(at).padStart(5, '0'))
        for (const name of names) await catalog.swap('g', name, Buffer.alloc(maxValueBytes), undefined)
        const listed = await all(catalog.list('g'))
        expect(namesOf(listed)).toEqual(names)
        expect(listed.every(({ value }) => value.byteLength === maxValueBytes)).toBe(true)
      }),
    )

    it(
      'treats an expired item as absent everywhere, at once',
      withCatalog(async (catalog, clock) => {
        const first = await catalog.swap('g', 'n', bytes('1'), undefined, new Date(clock.now() + 10_000))
        await catalog.swap('g', 'stays', bytes('2'), undefined)
        clock.advanceSeconds(9)
        expect(text((await catalog.get('g', 'n'))?.value)).toBe('1')
        clock.advanceSeconds(1)
        expect(await catalog.get('g', 'n')).toBeUndefined()
        expect(namesOf(await all(catalog.list('g')))).toEqual(['stays'])
        if (first === false) throw new Error('the first swap must win')
        expect(await catalog.swap('g', 'n', bytes('3'), first)).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, first)).toBe(false)
        expect(await catalog.swap('g', 'n', undefined, undefined)).toBe('')
        expect(await catalog.swap('g', 'n', bytes('4'), undefined)).not.toBe(false)
        clock.advanceSeconds(1_000_000)
        expect(text((await catalog.get('g', 'n'))?.value)).toBe('4')
      }),
    )

    it(
      'goes on well after thousands of items have expired',
      withCatalog(async (catalog, clock) => {
        const swapMany = (prefix: string): Promise<unknown> =>
          Promise.all(
            Array.from({ length: 1500 }, (_, at) =>
              catalog.swap('g', `${prefix}${at}`, bytes(''), undefined, new Date(clock.now() + 1000)),
            ),
          )
        await swapMany('old')
        await catalog.swap('g', 'stays', bytes(''), undefined)
        clock.advanceSeconds(2)
        await swapMany('new')
        expect(await all(catalog.list('g'))).toHaveLength(1501)
        expect(await catalog.get('g', 'stays')).toBeDefined()
      }),
    )

    it(
      'counts, and begins again when a counter has expired',
      withCatalog(async (catalog, clock) => {
        const soon = new Date(clock.now() + 10_000)
        const late = new Date(clock.now() + 60_000)
        expect(await catalog.add('g', 'n', 0, soon)).toBe(0)
        expect(await catalog.add('g', 'n', 2, soon)).toBe(2)
        expect(await catalog.add('g', 'n', 3, late)).toBe(5)
        expect(await catalog.add('g', 'n', -1, late)).toBe(4)
        expect(await catalog.add('g', 'n', 0, late)).toBe(4)
        expect(await catalog.add('g', 'other', 1, late)).toBe(1)
        expect(await catalog.add('h', 'n', 1, late)).toBe(1)
        clock.advanceSeconds(10)
        expect(await catalog.add('g', 'n', 0, late)).toBe(0)
        expect(await catalog.add('g', 'n', 1, late)).toBe(1)
        const sums = await Promise.all(Array.from({ length: 50 }, () => catalog.add('g', 'many', 1, late)))
        expect([...sums].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, at) => at + 1))
      }),
    )

    it('lets claim a name only where nothing stands in the way', async (context) => {
      const clock = new ManualClock()
      const catalog = await subject.open(clock)
      try {
        const claim = catalog.claim?.bind(catalog)
        if (!claim) return context.skip('the engine has no claims')
        await catalog.swap('g', 'a', bytes('1'), undefined)
        await catalog.swap('g', 'b/x', bytes('1'), undefined, new Date(clock.now() + 1000))
        const own = bytes('mine')
        expect(await claim('g', 'a', own, { absent: [] })).toBe(false)
        expect(await claim('g', 'c', own, { absent: ['z', 'a'] })).toBe(false)
        expect(await claim('g', 'c', own, { absent: [], prefix: 'b/' })).toBe(false)
        expect(await claim('g', 'c', own, { absent: [], prefix: '' })).toBe(false)
        expect(await catalog.get('g', 'c')).toBeUndefined()
        expect(text((await catalog.get('g', 'a'))?.value)).toBe('1')
        const version = await claim('g', 'c', own, { absent: ['z', 'b', 'b/'], prefix: 'b/y' })
        expect((await catalog.get('g', 'c'))?.version).toBe(version)
        expect(await claim('other', 'c', own, { absent: ['a'], prefix: '' })).not.toBe(false)
        clock.advanceSeconds(1)
        // What has expired stands in nobody's way.
        const late = new Date(clock.now() + 1000)
        expect(await claim('g', 'b/x', own, { absent: ['b/y'], prefix: 'b/' }, late)).not.toBe(false)
        expect(text((await catalog.get('g', 'b/x'))?.value)).toBe('mine')
        clock.advanceSeconds(1)
        expect(await catalog.get('g', 'b/x')).toBeUndefined()
        const winners = await Promise.all(
          Array.from({ length: 10 }, (_, at) => claim('g', `d/${at}`, own, { absent: [], prefix: 'd/' })),
        )
        expect(winners.filter((won) => won !== false)).toHaveLength(1)
        await expect(claim('g', 'n'.repeat(maxNameBytes + 1), own, { absent: [] })).rejects.toMatchObject({
          kind: 'too-large',
        })
      } finally {
        await catalog.close()
      }
    })

    it('tells at a glance what it would tell else, or nothing', async (context) => {
      const clock = new ManualClock()
      const catalog = await subject.open(clock)
      const other = await subject.again?.(clock)
      try {
        if (!catalog.glance || !catalog.glanceList) return context.skip('the engine never can')
        const same = async (): Promise<void> => {
          const names = ['a', 'b', 'c']
          const items = await Promise.all(names.map((name) => catalog.get('g', name)))
          const glance = catalog.glance?.('g', names)
          if (glance !== undefined) expect(glance).toEqual(items)
          const listed = await all(catalog.list('g'))
          const glanceList = catalog.glanceList?.('g', '')
          if (glanceList !== undefined) expect(glanceList).toEqual(listed)
        }
        const changed = async (by: Catalog): Promise<void> => {
          const before = catalog.glance?.('g', ['a'])
          await by.swap('g', 'a', bytes(String(Math.random())), 'any', new Date(clock.now() + 1000))
          if (before !== undefined) expect(catalog.glance?.('g', ['a'])).not.toEqual(before)
          expect(catalog.glanceList?.('g', '')).not.toEqual([])
          await same()
        }
        await same()
        await changed(catalog)
        await changed(catalog)
        if (other) await changed(other)
        clock.advanceSeconds(1)
        expect(catalog.glance('g', ['a'])?.[0]).toBeUndefined()
        await same()
      } finally {
        await catalog.close()
        await other?.close()
      }
      expect(() => catalog.glance?.('g', ['a'])).toThrow()
    })

    it('makes all changes of a transaction or none', async (context) => {
      const clock = new ManualClock()
      const catalog = await subject.open(clock)
      try {
        const transact = catalog.transaction?.bind(catalog)
        if (!transact) return context.skip('the engine has no transactions')
        const change = (name: string, next: string | undefined, expected: string | undefined) => ({
          group: 'g',
          name,
          next: next === undefined ? undefined : bytes(next),
          expected,
        })
        const held = await catalog.swap('g', 'held', bytes('old'), undefined)
        if (held === false) throw new Error('the first swap must win')
        expect(await transact([change('new', '1', undefined), change('held', '2', 'another')])).toBe(false)
        expect(await catalog.get('g', 'new')).toBeUndefined()
        expect(text((await catalog.get('g', 'held'))?.value)).toBe('old')
        expect(await transact([change('new', '1', undefined), change('held', undefined, held)])).toBe(true)
        expect(text((await catalog.get('g', 'new'))?.value)).toBe('1')
        expect(await catalog.get('g', 'held')).toBeUndefined()
        expect(await transact([])).toBe(true)
        await expect(transact([change('a', '1', 'any'), change('a', '2', 'any')])).rejects.toMatchObject({
          kind: 'invalid',
        })
        const winners = await Promise.all(
          Array.from({ length: 10 }, (_, at) =>
            transact([change('one', String(at), undefined), change(`mine${at}`, '', undefined)]),
          ),
        )
        expect(winners.filter(Boolean)).toHaveLength(1)
        expect(namesOf(await all(catalog.list('g', { prefix: 'mine' })))).toHaveLength(1)
      } finally {
        await catalog.close()
      }
    })

    if (subject.again) {
      const { again } = subject
      it('shows one handle what another wrote, and lets one of both win', async () => {
        const clock = new ManualClock()
        const first = await subject.open(clock)
        const second = await again(clock)
        try {
          const version = await first.swap('g', 'n', bytes('1'), undefined)
          expect((await second.get('g', 'n'))?.version).toBe(version)
          const versions = new Set<unknown>([version])
          for (let round = 0; round < 30; round++) {
            const present = (await first.get('g', 'n'))?.version
            const made = await Promise.all([
              first.swap('g', 'n', bytes('a'), present),
              second.swap('g', 'n', bytes('b'), present),
            ])
            const won = made.filter((one) => one !== false)
            expect(won).toHaveLength(1)
            versions.add(won[0])
          }
          expect(versions.size).toBe(31)
          const expires = new Date(clock.now() + 1000)
          await Promise.all([first, second, first, second].map((catalog) => catalog.add('g', 'count', 1, expires)))
          expect(await second.add('g', 'count', 0, expires)).toBe(4)
        } finally {
          await first.close()
          await second.close()
        }
      })

      it('remembers after it was closed', async () => {
        const clock = new ManualClock()
        const first = await subject.open(clock)
        const writing = first.swap('g', 'n', bytes('1'), undefined)
        await first.close()
        const version = await writing
        const second = await again(clock)
        expect(await second.get('g', 'n')).toEqual({ value: new Uint8Array(bytes('1')), version })
        await second.close()
      })
    }
  })
}

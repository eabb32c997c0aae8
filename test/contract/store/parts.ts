import { createHash } from 'node:crypto'
import { describe, expect } from 'vitest'
import { Failure } from '../../../src/core/failure.js'
import type { PartRooms, StoredPart } from '../../../src/store/part-rooms.js'
import type { Store } from '../../../src/store/store.js'
import {
  ableTo,
  bodiesInStep,
  body,
  bytesOf,
  expectSame,
  failureOf,
  itWith,
  p,
  pathsBelow,
  put,
  stalledBody,
  textOf,
  type Group,
} from './subject.js'

const size = 70_000

/** The bytes of a part; no two numbers have the same. */
function part(number: number, bytes = size): Buffer {
  return Buffer.alloc(bytes, `part ${number} `)
}

function md5(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('md5').update(bytes).digest())
}

async function rooms(parts: PartRooms): Promise<readonly string[]> {
  const all: string[] = []
  for await (const batch of parts.list()) all.push(...batch.map(({ room }) => room))
  return all.sort()
}

async function expectBytes(store: Store, path: string, expected: readonly Buffer[]): Promise<void> {
  expect((await bytesOf(await store.open(p(path)))).equals(Buffer.concat(expected))).toBe(true)
}

/** Rooms for the parts of files that come in pieces. */
export const parts: Group = (subject, lacking) => {
  const both = (): { store: Store; parts: PartRooms } => {
    const { store } = subject()
    return { store, parts: ableTo(store, 'parts').parts }
  }
  const send = (rooms: PartRooms, room: string, number: number, bytes = part(number)): Promise<StoredPart> =>
    rooms.put(room, number, body(bytes), { length: bytes.length })
  const test = (title: string, run: () => Promise<void>): void => itWith('parts', lacking, title, run)

  describe('parts', () => {
    test('knows no room but those that it has made', async () => {
      const { store, parts } = both()
      await put(store, '/f')
      const own = await parts.open(p('/x'))
      expect(own).toMatch(/^[0-9a-z]{1,64}$/)
      const stored = await send(parts, own, 1)
      for (const room of [
        '',
        '.',
        '..',
        'none',
        '../' + own,
        own + '/',
        own.toUpperCase() + 'X',
        '0'.repeat(65),
        '/f',
      ]) {
        expect([room, await failureOf(send(parts, room, 1))]).toEqual([room, 'not-found'])
        const range = { start: 0, end: 1 }
        expect([room, await failureOf(parts.putFrom(room, 1, p('/f'), range))]).toEqual([room, 'not-found'])
        expect([room, await failureOf(parts.become(room, p('/x'), [stored]))]).toEqual([room, 'not-found'])
        expect([room, await failureOf(parts.drop(room, stored))]).toEqual([room, 'not-found'])
        await parts.close(room)
      }
      expect(await rooms(parts)).toEqual([own])
      expect(await pathsBelow(store, '/', { depth: 'infinity' })).toEqual(['/f'])
      await parts.close(own)
      expect(await failureOf(send(parts, own, 1))).toBe('not-found')
      expect(await rooms(parts)).toEqual([])
    })

    test('takes nothing for a part that it has not stored in that room', async () => {
      const { store, parts } = both()
      const room = await parts.open(p('/f'))
      const other = await parts.open(p('/g'))
      const [one, two] = [await send(parts, room, 1), await send(parts, room, 2, part(2, 10))]
      const foreign = await send(parts, other, 1)
      const dropped = await send(parts, room, 3)
      await parts.drop(room, dropped)
      const wrong: readonly Partial<StoredPart>[] = [
        { place: '' },
        { place: '..' },
        { place: '../' + other + '/' + foreign.place },
        { place: '/etc/passwd' },
        { place: one.place + '\n' },
        { place: 's1' },
        { place: 'whole-' + String(size) },
        { place: foreign.place },
        { place: dropped.place },
        { size: size - 1 },
        { size: size + 1 },
        { size: -1 },
      ]
      for (const change of wrong)
        for (const list of [
          [{ ...one, ...change }, two],
          [one, { ...two, ...change }],
        ])
          expect([change, await failureOf(parts.become(room, p('/f'), list))]).toEqual([change, 'not-found'])
      for (const change of wrong.slice(0, 7)) await parts.drop(room, { ...one, ...change })
      expect(await store.stat(p('/f'))).toBeUndefined()
      await parts.become(room, p('/f'), [one, two])
      await expectBytes(store, '/f', [part(1), part(2, 10)])
      await parts.close(other)
    })

    test('keeps nothing of a part that breaks, is given up, refused or not as long as said', async () => {
      const { store, parts } = both()
      const room = await parts.open(p('/f'))
      for (const number of [0, -1, 1.5, 10_001, NaN])
        expect(await failureOf(parts.put(room, number, body('x')))).toBe('invalid')
      const one = await send(parts, room, 1)
      const refused = new Failure('locked', 'not now')
      for (const [number, length] of [
        [2, size],
        [3, undefined],
      ] as const) {
        const known = length === undefined ? {} : { length }
        const broken = new Error('the line broke')
        async function* breaking(): AsyncGenerator<Uint8Array, void> {
          yield part(number, size - 1)
          throw broken
        }
        await expect(parts.put(room, number, breaking(), known)).rejects.toBe(broken)
        const control = new AbortController()
        const stalled = stalledBody(() => control.abort(), 'half')
        expect(await failureOf(parts.put(room, number, stalled, { ...known, signal: control.signal }))).toBe(
          'incomplete',
        )
        const beforeCommit = async (): Promise<void> => Promise.reject(refused)
        await expect(parts.put(room, number, body(part(number)), { ...known, beforeCommit })).rejects.toBe(refused)
      }
      for (const bytes of [size - 1, size + 1])
        expect(await failureOf(parts.put(room, 2, body(part(2, bytes)), { length: size }))).toBe('incomplete')
      const three = await send(parts, room, 3, part(3, 100))
      const two = await send(parts, room, 2)
      await parts.become(room, p('/f'), [one, two, three])
      await expectBytes(store, '/f', [part(1), part(2), part(3, 100)])
    })

    test('makes a file of parts that came in any order and all at once', async () => {
      const { store, parts } = both()
      const room = await parts.open(p('/d/f'))
      const numbers = Array.from({ length: 12 }, (_, index) => index + 1)
      const bytes = numbers.map((number) => part(number, number === 12 ? 333 : size))
      const first = await send(parts, room, 1)
      const others = await Promise.all(
        numbers
          .slice(1)
          .reverse()
          .map((number) => send(parts, room, number, bytes[number - 1])),
      )
      expect(await pathsBelow(store, '/', { depth: 'infinity' })).toEqual([])
      const { entry, created } = await parts.become(room, p('/d/f'), [first, ...others.reverse()], {
        parents: true,
        attributes: { a: 'b' },
        knownDigests: () => ({ md5: md5(Buffer.concat(bytes)) }),
        length: 11 * size + 333,
      })
      expect([created, entry.size, entry.attributes]).toEqual([true, 11 * size + 333, { a: 'b' }])
      expect(entry.digests).toEqual({ md5: md5(Buffer.concat(bytes)) })
      expectSame(lacking, await store.stat(p('/d/f')), entry)
      await expectBytes(store, '/d/f', bytes)
      expect(await rooms(parts)).toEqual([])
      expect(await failureOf(parts.become(room, p('/d/f'), [first]))).toBe('not-found')
    })

    test('gives each part the digests that were asked for and those that were known', async () => {
      const { parts } = both()
      const room = await parts.open(p('/f'))
      const sha1 = new Uint8Array(20).fill(1)
      let judged = 0
      for (const length of [undefined, size]) {
        const stored = await parts.put(room, 1, body(part(1)), {
          ...(length === undefined ? {} : { length }),
          digests: ['md5'],
          knownDigests: () => ({ sha1 }),
          beforeCommit: async (staged) => {
            judged++
            expect(staged).toEqual({ size, digests: { md5: md5(part(1)), sha1 } })
          },
        })
        expect(stored).toEqual({ place: stored.place, size, digests: { md5: md5(part(1)), sha1 } })
        expect(stored.place).toMatch(/^[\x20-\x7e]{1,100}$/)
      }
      expect(judged).toBe(2)
      await parts.close(room)
    })

    test('makes the same file however the parts lie', async () => {
      const { store, parts } = both()
      const layouts: readonly (readonly (readonly [number: number, bytes: number])[])[] = [
        [],
        [[1, 0]],
        [[1, 5]],
        [[7, size]],
        [
          [1, size],
          [2, size],
        ],
        [
          [2, size],
          [1, size],
        ],
        [
          [1, size],
          [3, size],
        ],
        [
          [1, size],
          [2, 10],
          [3, size],
        ],
        [
          [1, 10],
          [2, size],
          [3, size],
        ],
        [
          [1, size],
          [2, size + 1],
          [3, 7],
        ],
        [
          [5, size],
          [10_000, size],
        ],
      ]
      for (const [index, layout] of layouts.entries()) {
        const room = await parts.open(p('/f'))
        const stored: StoredPart[] = []
        for (const [number, bytes] of layout) stored.push(await send(parts, room, number, part(number, bytes)))
        const expected = layout.map(([number, bytes]) => part(number, bytes))
        const whole = md5(Buffer.concat(expected))
        let judged = false
        const { entry } = await parts.become(room, p('/f'), stored, {
          digests: ['md5'],
          beforeCommit: async ({ digests }) => {
            judged = true
            expect(digests).toEqual({ md5: whole })
          },
        })
        expect([index, judged, entry.digests]).toEqual([index, true, { md5: whole }])
        await expectBytes(store, '/f', expected)
      }
    })

    test('keeps each part of a number that came again, or at the same time', async () => {
      const { store, parts } = both()
      const room = await parts.open(p('/f'))
      const texts = ['first'.repeat(50), 'again'.repeat(50), 'third'.repeat(50)]
      const one = await send(parts, room, 1, part(1, 250))
      const stored = await Promise.all(bodiesInStep(texts).map((each) => parts.put(room, 2, each, { length: 250 })))
      const [two, again, third] = stored as [StoredPart, StoredPart, StoredPart]
      expect(new Set(stored.map(({ place }) => place)).size).toBe(3)
      const three = await send(parts, room, 3, part(3, 250))
      await parts.drop(room, two)
      await parts.drop(room, two)
      expect(await failureOf(parts.become(room, p('/f'), [one, two, three]))).toBe('not-found')
      const last = await send(parts, room, 2, part(2, 250))
      // Whichever of them is chosen while others are there, it is that one.
      await parts.become(room, p('/f'), [one, again, three])
      await expectBytes(store, '/f', [part(1, 250), Buffer.from(texts[1]!), part(3, 250)])
      expect(await failureOf(parts.become(room, p('/f'), [one, last, third]))).toBe('not-found')
    })

    test('replaces a part whose place was freed', async () => {
      const { store, parts } = both()
      const room = await parts.open(p('/f'))
      const one = await send(parts, room, 1)
      const two = await send(parts, room, 2)
      const three = await send(parts, room, 3)
      const better = await send(parts, room, 2, Buffer.alloc(size, 'better '))
      await parts.drop(room, two)
      await parts.become(room, p('/f'), [one, better, three])
      await expectBytes(store, '/f', [part(1), Buffer.alloc(size, 'better '), part(3)])
    })

    test('leaves the old file and the room where a file cannot be made', async () => {
      const { store, parts } = both()
      const { etag } = await put(store, '/f', 'old')
      await store.makeDirectory(p('/d'))
      const room = await parts.open(p('/f'))
      const stored = [await send(parts, room, 1), await send(parts, room, 2), await send(parts, room, 3, part(3, 9))]
      const unused = await send(parts, room, 4, part(4, 9))
      const chosen = stored.slice(0, 2)
      const refused = new Failure('locked', 'not now')
      const beforeCommit = async (): Promise<void> => Promise.reject(refused)
      await expect(parts.become(room, p('/f'), chosen, { beforeCommit })).rejects.toBe(refused)
      await expect(parts.become(room, p('/x/y'), chosen, { beforeCommit, parents: true })).rejects.toBe(refused)
      await expect(parts.become(room, p('/f'), stored.slice(1, 2), { beforeCommit })).rejects.toBe(refused)
      const fails = async (path: string, options: object): Promise<unknown> =>
        failureOf(parts.become(room, p(path), chosen, options))
      expect(await fails('/f', { ifNoneMatch: '*' })).toBe('precondition')
      expect(await fails('/f', { ifMatch: ['other'] })).toBe('precondition')
      expect(await fails('/f', { length: 5 })).toBe('incomplete')
      expect(await fails('/f', { signal: AbortSignal.abort() })).toBe('incomplete')
      expect(await fails('/none/f', {})).toBe('no-parent')
      expect(await fails('/f/g', {})).toBe('not-directory')
      expect(await fails('/d', {})).toBe('is-directory')
      expect(await fails('/', {})).toBe('is-directory')
      // The condition fails only at the last moment.
      const late = async (): Promise<void> => {
        await put(store, '/f', 'newer')
      }
      expect(await fails('/f', { ifMatch: [etag], beforeCommit: late })).toBe('precondition')
      expect(await textOf(store, '/f')).toBe('newer')
      expect(await pathsBelow(store, '/', { depth: 'infinity', order: 'key' })).toEqual(['/d', '/f'])
      expect(await rooms(parts)).toEqual([room])
      const { created } = await parts.become(room, p('/f'), [...stored.slice(0, 2), unused])
      expect(created).toBe(false)
      await expectBytes(store, '/f', [part(1), part(2), part(4, 9)])
    })

    test('takes parts of stored files', async () => {
      const { store, parts } = both()
      await store.write(p('/source'), body(part(1, 3 * size)))
      await store.makeDirectory(p('/d'))
      const room = await parts.open(p('/f'))
      const from = (path: string, start: number, end: number): Promise<StoredPart> =>
        parts.putFrom(room, 1, p(path), { start, end }, { digests: ['md5'] })
      expect(await failureOf(from('/none', 0, 1))).toBe('not-found')
      expect(await failureOf(from('/d', 0, 1))).toBe('is-directory')
      expect(await failureOf(from('/source', 0, 3 * size + 1))).toBe('bad-range')
      expect(await failureOf(from('/source', 2, 1))).toBe('bad-range')
      const source = part(1, 3 * size)
      const one = await from('/source', 0, size)
      expect(one).toMatchObject({ size, digests: { md5: md5(source.subarray(0, size)) } })
      const two = await parts.putFrom(room, 2, p('/source'), { start: 100, end: size })
      await parts.become(room, p('/source'), [one, two])
      await expectBytes(store, '/source', [source.subarray(0, size), source.subarray(100, size)])
    })

    test('lets only one of several make the file', async () => {
      const { store, parts } = both()
      for (const count of [1, 2]) {
        const room = await parts.open(p('/f'))
        const stored: StoredPart[] = []
        for (let number = 1; number <= count; number++) stored.push(await send(parts, room, number))
        const kinds = await Promise.all(
          ['/a', '/b', '/a'].map((path) => failureOf(parts.become(room, p(path), stored))),
        )
        expect(kinds.sort()).toEqual(['none', 'not-found', 'not-found'])
        expect(await pathsBelow(store, '/')).toHaveLength(1)
        for (const path of await pathsBelow(store, '/')) {
          await expectBytes(store, path, [part(1), part(2)].slice(0, count))
          await store.remove(p(path))
        }
      }
    })

    test('lets nothing of a part be that comes when the file is made, or the room goes', async () => {
      const { store, parts } = both()
      for (const ending of ['become', 'close'] as const) {
        const room = await parts.open(p('/f'))
        const one = await send(parts, room, 1)
        const two = await send(parts, room, 2)
        let go: () => void = () => undefined
        const gone = new Promise<void>((resolve) => (go = resolve))
        let begun: () => void = () => undefined
        const started = new Promise<void>((resolve) => (begun = resolve))
        async function* slow(): AsyncGenerator<Uint8Array, void> {
          yield part(3).subarray(0, 10)
          begun()
          await gone
          yield part(3).subarray(10)
        }
        const late = failureOf(parts.put(room, 3, slow(), { length: size }))
        await started
        if (ending === 'become') await parts.become(room, p('/f'), [one, two])
        else await parts.close(room)
        go()
        expect(await late).toBe('not-found')
        if (ending === 'become') await expectBytes(store, '/f', [part(1), part(2)])
      }
      expect(await rooms(parts)).toEqual([])
    })

    test('tells when something was last put into a room', async () => {
      const { parts } = both()
      const start = Date.now() - 1000
      const names = [await parts.open(p('/a')), await parts.open(p('/b'))]
      await send(parts, names[0]!, 1)
      for await (const batch of parts.list())
        for (const { room, modified } of batch) {
          expect(names).toContain(room)
          expect(modified).toBeGreaterThan(start)
          expect(modified).toBeLessThan(Date.now() + 1000)
        }
      for (const name of names) await parts.close(name)
    })

    const flagged = lacking.parts === undefined ? 'executable' : 'parts'
    itWith(flagged, lacking, 'keeps the executable flag of the file that is replaced', async () => {
      const { store, parts } = both()
      await store.write(p('/f'), body('x'), { executable: true })
      const room = await parts.open(p('/f'))
      const stored = [await send(parts, room, 1), await send(parts, room, 2)]
      expect((await parts.become(room, p('/f'), stored)).entry.executable).toBe(true)
    })
  })
}

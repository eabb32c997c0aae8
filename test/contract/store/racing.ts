import { describe, expect, it } from 'vitest'
import type { FailureKind } from '../../../src/core/failure.js'
import type { WriteOptions } from '../../../src/store/store.js'
import { bodiesInStep, body, failureOf, p, pathsBelow, put, textOf, type Group } from './subject.js'

const texts = ['a', 'b', 'c', 'd', 'e', 'f']

function tally(outcomes: readonly (FailureKind | 'none')[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

export const racing: Group = (subject) => {
  describe('conditions', () => {
    it('judges etags, existence and modified time', async () => {
      const { store } = subject()
      await store.write(p('/f'), body('1'), { modified: 1_000_000_000_500 })
      const { etag, modified } = (await store.stat(p('/f')))!
      const second = Math.floor(modified / 1000) * 1000
      const write = (path: string, options: WriteOptions): Promise<FailureKind | 'none'> =>
        failureOf(store.write(p(path), body('2'), { modified: 1_000_000_000_500, ...options }))
      expect(await write('/f', { ifMatch: ['other'] })).toBe('precondition')
      expect(await write('/f', { ifMatch: [] })).toBe('precondition')
      expect(await write('/f', { ifNoneMatch: '*' })).toBe('precondition')
      expect(await write('/f', { ifNoneMatch: ['other', etag] })).toBe('precondition')
      expect(await write('/f', { ifUnmodifiedSince: second - 1 })).toBe('precondition')
      expect(await write('/f', { ifMatch: [etag], ifUnmodifiedSince: 0 })).toBe('precondition')
      expect(await write('/new', { ifMatch: '*' })).toBe('precondition')
      expect(await write('/new', { ifMatch: [etag] })).toBe('precondition')
      expect(await textOf(store, '/f')).toBe('1')
      expect(await store.stat(p('/new'))).toBeUndefined()

      expect(await write('/f', { ifUnmodifiedSince: second })).toBe('none')
      expect(await write('/f', { ifMatch: [etag] })).toBe('precondition')
      expect(await write('/f', { ifMatch: '*', ifNoneMatch: [etag] })).toBe('none')
      const now = await store.stat(p('/f'))
      expect(await write('/f', { ifMatch: ['other', now!.etag] })).toBe('none')
      expect(await write('/new', { ifNoneMatch: '*', ifUnmodifiedSince: 0 })).toBe('none')
      expect(await write('/newer', { ifNoneMatch: [etag] })).toBe('none')
    })

    it('judges them again at the commit', async () => {
      const { store } = subject()
      const { etag } = await put(store, '/f', '1')
      const meddle = async (): Promise<void> => {
        await put(store, '/f', 'of another')
      }
      const write = store.write(p('/f'), body('2'), { ifMatch: [etag], beforeCommit: meddle })
      expect(await failureOf(write)).toBe('precondition')
      expect(await textOf(store, '/f')).toBe('of another')
    })
  })

  describe('races', () => {
    it('lets exactly one of many `ifNoneMatch: *` writers win', async () => {
      const { store } = subject()
      for (let round = 0; round < 5; round++) {
        const path = p(`/f${round}`)
        const outcomes = await Promise.all(
          bodiesInStep(texts).map((text) => failureOf(store.write(path, text, { ifNoneMatch: '*' }))),
        )
        expect(tally(outcomes)).toEqual({ none: 1, precondition: texts.length - 1 })
        expect(await textOf(store, path)).toBe(texts[outcomes.indexOf('none')])
      }
    })

    it('lets exactly one of many `ifMatch` writers win', async () => {
      const { store } = subject()
      let { etag } = await put(store, '/f')
      for (let round = 0; round < 5; round++) {
        // Of the same bytes a store may have the same etag again.
        const fresh = texts.map((text) => `${text}${round}`)
        const outcomes = await Promise.all(
          bodiesInStep(fresh).map((text) => failureOf(store.write(p('/f'), text, { ifMatch: [etag] }))),
        )
        expect(tally(outcomes)).toEqual({ none: 1, precondition: texts.length - 1 })
        expect(await textOf(store, '/f')).toBe(fresh[outcomes.indexOf('none')])
        etag = (await store.stat(p('/f')))!.etag
      }
    })

    it('lets either the writer or the remover of one version win', async () => {
      const { store } = subject()
      for (let round = 0; round < 10; round++) {
        const { etag } = await put(store, '/f')
        const write = failureOf(store.write(p('/f'), body('new'), { ifMatch: [etag] }))
        const remove = failureOf(store.remove(p('/f'), { ifMatch: [etag] }))
        const [written, removed] = await Promise.all([write, remove])
        const there = (await store.stat(p('/f'))) !== undefined
        if (written === 'none') expect([there, ['precondition']]).toEqual([true, [removed]])
        else expect([there, written, removed]).toEqual([false, 'precondition', 'none'])
      }
    })

    it('leaves one whole content of many unconditional writers', async () => {
      const { store } = subject()
      const long = texts.map((text) => text.repeat(50_000))
      const writes = await Promise.all(bodiesInStep(long).map((text) => store.write(p('/f'), text)))
      expect(long).toContain(await textOf(store, '/f'))
      expect(new Set(writes.map(({ entry }) => entry.etag)).size).toBe(texts.length)
      expect(writes.map(({ entry }) => entry.etag)).toContain((await store.stat(p('/f')))?.etag)
    })

    it('makes a directory once, and shared parents for everyone', async () => {
      const { store } = subject()
      const made = await Promise.all(texts.map(() => failureOf(store.makeDirectory(p('/d')))))
      expect(tally(made)).toEqual({ none: 1, exists: texts.length - 1 })
      await Promise.all(texts.map((text) => put(store, `/x/y/z/${text}`)))
      expect(await pathsBelow(store, '/x/y/z', { order: 'key' })).toEqual(texts.map((text) => `/x/y/z/${text}`))
    })

    it('lets exactly one transfer take a free name', async () => {
      const { store } = subject()
      for (const text of texts) await put(store, `/from-${text}`, text)
      const outcomes = await Promise.all(
        texts.map((text, index) =>
          failureOf(
            index % 2 === 0
              ? store.copy(p(`/from-${text}`), p('/to'), { overwrite: false })
              : store.move(p(`/from-${text}`), p('/to'), { overwrite: false }),
          ),
        ),
      )
      expect(tally(outcomes)).toEqual({ none: 1, exists: texts.length - 1 })
      expect(await textOf(store, '/to')).toBe(texts[outcomes.indexOf('none')])
    })
  })
}

import { describe, expect, it } from 'vitest'
import { isFailure } from '../../../src/core/failure.js'
import { isWithin } from '../../../src/core/path.js'
import { body, failureOf, itWith, kept, listed, p, pathsBelow, put, snapshot, textOf, type Group } from './subject.js'

const attributes = { 'content-type': 'text/plain', 'x-amz-meta-one': '1' }
const then = 1_000_000_000_000

export const changing: Group = (subject, lacking) => {
  describe('change', () => {
    it('throws where nothing is', async () => {
      const { store } = subject()
      await put(store, '/f')
      for (const path of ['/none', '/none/deeper', '/f/below'])
        expect(await failureOf(store.change(p(path), { modified: then }))).toBe('not-found')
    })

    it('changes attributes and nothing else', async () => {
      const { store } = subject()
      const given = kept(lacking, { modified: then, executable: true })
      await store.write(p('/f'), body('bytes'), { attributes, ...given })
      expect(await store.change(p('/f'), { attributes: { a: 'b' } })).toMatchObject({
        attributes: { a: 'b' },
        ...given,
      })
      expect(await store.stat(p('/f'))).toMatchObject({ path: '/f', size: 5, attributes: { a: 'b' }, ...given })
      expect((await store.change(p('/f'), { attributes })).attributes).toEqual(attributes)
      expect((await store.stat(p('/f')))?.attributes).toEqual(attributes)
      expect((await store.change(p('/f'), { attributes: {} })).attributes ?? {}).toEqual({})
      expect((await store.stat(p('/f')))?.attributes ?? {}).toEqual({})
      expect(await textOf(store, '/f')).toBe('bytes')
    })

    it('keeps the attributes of a directory', async () => {
      const { store } = subject()
      await put(store, '/d/f')
      expect(await store.change(p('/d'), { attributes })).toMatchObject({ kind: 'directory', attributes })
      expect((await store.stat(p('/d')))?.attributes).toEqual(attributes)
      await put(store, '/d/g')
      await store.remove(p('/d/f'))
      expect((await store.stat(p('/d')))?.attributes).toEqual(attributes)
    })

    it('changes nothing where it cannot keep what it is given', async () => {
      const { store } = subject()
      const { entry } = await store.write(p('/f'), body('bytes'), { attributes })
      for (const [ability, change] of [
        ['ownTimes', { modified: then }],
        ['executable', { executable: true }],
      ] as const) {
        if (lacking[ability] === undefined) continue
        expect(await failureOf(store.change(p('/f'), { attributes: {}, ...change }))).toBe('unsupported')
        expect(await store.stat(p('/f'))).toMatchObject({ etag: entry.etag, attributes })
      }
    })

    const flagged = lacking.ownTimes === undefined ? 'executable' : 'ownTimes'
    itWith(flagged, lacking, 'changes what is named and nothing else', async () => {
      const { store } = subject()
      await store.write(p('/f'), body('bytes'), { attributes, modified: then, executable: true })
      const changed = await store.change(p('/f'), { modified: then + 5000 })
      expect(changed).toMatchObject({ path: '/f', size: 5, modified: then + 5000, executable: true, attributes })
      expect(await store.change(p('/f'), { attributes: { a: 'b' } })).toMatchObject({ attributes: { a: 'b' } })
      expect((await store.stat(p('/f')))?.attributes).toEqual({ a: 'b' })
      expect((await store.change(p('/f'), { executable: false })).executable ?? false).toBe(false)
      expect(await store.stat(p('/f'))).toMatchObject({ modified: then + 5000, attributes: { a: 'b' }, size: 5 })
      expect((await store.change(p('/f'), { executable: true })).executable).toBe(true)
      expect((await store.change(p('/f'), { attributes: {} })).attributes ?? {}).toEqual({})
      expect(await textOf(store, '/f')).toBe('bytes')
    })

    it('changes nothing of a file that is another one by now', async () => {
      const { store } = subject()
      await put(store, '/f')
      const { etag = '' } = (await store.stat(p('/f'))) ?? {}
      await store.write(p('/f'), body('other'))
      expect(await failureOf(store.change(p('/f'), { ifMatch: [etag], attributes }))).toBe('precondition')
      expect((await store.stat(p('/f')))?.attributes ?? {}).toEqual({})
      const present = (await store.stat(p('/f')))?.etag ?? ''
      expect(await store.change(p('/f'), { ifMatch: [etag, present], attributes })).toMatchObject({ attributes })
    })

    itWith('ownTimes', lacking, 'sets the time of a directory', async () => {
      const { store } = subject()
      await put(store, '/d/f')
      expect(await store.change(p('/d'), { modified: then })).toMatchObject({ kind: 'directory', modified: then })
      expect((await store.stat(p('/d')))?.modified).toBe(then)
    })
  })

  describe('makeDirectory', () => {
    it('makes one directory, and nothing where it cannot', async () => {
      const { store } = subject()
      expect(await store.makeDirectory(p('/d'))).toMatchObject({ path: '/d', kind: 'directory', size: 0 })
      await put(store, '/f')
      expect(await failureOf(store.makeDirectory(p('/d')))).toBe('exists')
      expect(await failureOf(store.makeDirectory(p('/f')))).toBe('exists')
      expect(await failureOf(store.makeDirectory(p('/')))).toBe('exists')
      expect(await failureOf(store.makeDirectory(p('/none/d')))).toBe('no-parent')
      expect(await failureOf(store.makeDirectory(p('/f/d')))).toBe('not-directory')
      expect(await failureOf(store.makeDirectory(p('/f/d/e')))).toBe('not-directory')
      expect(await pathsBelow(store, '/', { order: 'key', depth: 'infinity' })).toEqual(['/d', '/f'])
    })
  })

  describe('remove', () => {
    it('removes a file or an empty directory only', async () => {
      const { store } = subject()
      await put(store, '/d/f')
      expect(await failureOf(store.remove(p('/none')))).toBe('not-found')
      expect(await failureOf(store.remove(p('/d/f/g')))).toBe('not-found')
      expect(await failureOf(store.remove(p('/d')))).toBe('not-empty')
      expect(await failureOf(store.remove(p('/')))).toBe('denied')
      await store.remove(p('/d/f'))
      await store.remove(p('/d'))
      expect(await listed(store, '/')).toEqual([])
      expect(await failureOf(store.remove(p('/')))).toBe('denied')
    })

    it('removes only the version that is wanted', async () => {
      const { store } = subject()
      const { etag } = await put(store, '/f')
      expect(await failureOf(store.remove(p('/f'), { ifMatch: ['other'] }))).toBe('precondition')
      expect(await failureOf(store.remove(p('/none'), { ifMatch: ['other'] }))).toBe('not-found')
      expect(await textOf(store, '/f')).toBe('/f')
      await store.remove(p('/f'), { ifMatch: ['other', etag] })
      expect(await store.stat(p('/f'))).toBeUndefined()
    })
  })

  describe.each(['copy', 'move'] as const)('%s', (verb) => {
    it('carries bytes, attributes and the executable flag', async () => {
      const { store } = subject()
      const given = kept(lacking, { modified: then, executable: true })
      const flag = kept(lacking, { executable: true })
      await store.write(p('/d/f'), body('bytes'), { parents: true, attributes, ...given })
      const entry = (await store.stat(p('/d/f')))!
      const { entry: moved, created } = await store[verb](p('/d/f'), p('/g'), { overwrite: false })
      expect(created).toBe(true)
      expect(moved).toMatchObject({ path: '/g', kind: 'file', size: 5, ...flag })
      expect(await store.stat(p('/g'))).toMatchObject({ ...moved, attributes })
      expect(await textOf(store, '/g')).toBe('bytes')
      if (verb === 'move') {
        expect(moved).toMatchObject({ etag: entry.etag, ...kept(lacking, { modified: entry.modified }) })
        expect(await store.stat(p('/d/f'))).toBeUndefined()
      } else {
        expect(moved.modified).toBeGreaterThan(then)
        expect(await store.stat(p('/d/f'))).toMatchObject({ etag: entry.etag, modified: entry.modified, attributes })
      }
    })

    it('takes the place of a file only when asked', async () => {
      const { store } = subject()
      await put(store, '/f', 'source')
      const target = (await store.write(p('/g'), body('target'), { attributes })).entry
      expect(await failureOf(store[verb](p('/f'), p('/g'), { overwrite: false }))).toBe('exists')
      expect(await textOf(store, '/g')).toBe('target')
      const { created, entry } = await store[verb](p('/f'), p('/g'), { overwrite: true })
      expect(created).toBe(false)
      expect(entry.etag).not.toBe(target.etag)
      expect(await textOf(store, '/g')).toBe('source')
      expect((await store.stat(p('/g')))?.attributes ?? {}).toEqual({})
    })

    it('throws where it cannot, with the path of the end at fault, and changes nothing', async () => {
      const { store } = subject()
      await put(store, '/f', 'source')
      await put(store, '/d/in', 'inside')
      const all = await snapshot(store)
      const fails = async (from: string, to: string, kind: string, end: string, overwrite = true): Promise<void> => {
        const failure: unknown = await store[verb](p(from), p(to), { overwrite }).catch((error: unknown) => error)
        expect(failure).toMatchObject({ kind })
        // The end itself, or what is wrong above it.
        expect(isFailure(failure) && failure.path !== undefined && isWithin(p(end), failure.path)).toBe(true)
      }
      await fails('/none', '/g', 'not-found', '/none')
      await fails('/f/below', '/g', 'not-found', '/f/below')
      await fails('/f', '/none/g', 'no-parent', '/none/g')
      await fails('/f', '/d/in/g', 'not-directory', '/d/in/g')
      await fails('/f', '/f', 'denied', '/f')
      await fails('/f', '/d', 'is-directory', '/d')
      await fails('/f', '/', 'is-directory', '/')
      await fails('/f', '/d', 'exists', '/d', false)
      await fails('/f', '/f/g', 'not-directory', '/f/g')
      expect(await snapshot(store)).toEqual(all)
    })
  })

  it('copies a directory alone, and never onto something', async () => {
    const { store } = subject()
    await put(store, '/d/in')
    await put(store, '/f')
    await store.makeDirectory(p('/e'))
    expect(await failureOf(store.copy(p('/d'), p('/e'), { overwrite: true }))).toBe('exists')
    expect(await failureOf(store.copy(p('/d'), p('/d'), { overwrite: true }))).toBe('denied')
    expect(await failureOf(store.copy(p('/d'), p('/f'), { overwrite: true }))).toBe('not-directory')
    expect(await failureOf(store.copy(p('/d'), p('/f'), { overwrite: false }))).toBe('exists')
    expect(await failureOf(store.copy(p('/d'), p('/none/d'), { overwrite: true }))).toBe('no-parent')
    const { entry, created } = await store.copy(p('/d'), p('/new'), { overwrite: true })
    expect([entry.kind, created]).toEqual(['directory', true])
    expect(await listed(store, '/new')).toEqual([])
  })

  it('moves no directory', async () => {
    const { store } = subject()
    await put(store, '/d/in')
    expect(await failureOf(store.move(p('/d'), p('/new'), { overwrite: false }))).toBe('is-directory')
    expect(await failureOf(store.move(p('/'), p('/new'), { overwrite: false }))).toBe('denied')
    expect(await textOf(store, '/d/in')).toBe('/d/in')
  })

  it('permits everything where nothing but the medium could refuse', async () => {
    const { store } = subject()
    await put(store, '/f')
    for (const action of ['read', 'replace', 'delete'] as const) expect(await store.permits(action, p('/f'))).toBe(true)
    expect(await store.permits('create', p('/new'))).toBe(true)
    expect(await store.permits('list', p('/'))).toBe(true)
  })
}

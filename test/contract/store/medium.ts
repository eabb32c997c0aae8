import { describe, expect } from 'vitest'
import { toPath } from '../../../src/core/path.js'
import {
  body,
  bytesOf,
  failureOf,
  itWith,
  listed,
  p,
  pathsBelow,
  put,
  textOf,
  type Ability,
  type Group,
  type Medium,
  type Subject,
} from './subject.js'

/** What a store makes of things on its medium that it has not put there, or keeps to itself. */
export const medium: Group = (subject, lacking) => {
  const both = (): { store: Subject['store']; medium: Medium } => {
    const { store, medium } = subject()
    if (medium === undefined) throw new Error('No medium was given, and the suite was not told so.')
    return { store, medium }
  }

  describe('medium', () => {
    const ability = (name: 'sparse' | 'links'): Ability => (lacking.medium === undefined ? name : 'medium')

    itWith(ability('sparse'), lacking, 'reads 5 GiB of a sparse file by ranges', async () => {
      const { store, medium } = both()
      const size = 5 * 2 ** 30
      await medium.sparse('/big', size)
      expect(await store.stat(p('/big'))).toMatchObject({ kind: 'file', size })
      for (const start of [0, 2 ** 31 - 50, 2 ** 32 - 50, size - 100]) {
        const bytes = await bytesOf(await store.open(p('/big')), { start, end: start + 100 })
        expect(bytes.equals(Buffer.alloc(100))).toBe(true)
      }
      const tail = { from: p('/big'), range: { start: size - 3, end: size } }
      if (store.assemble !== undefined) {
        const { entry } = await store.assemble(p('/tail'), [tail, { body: body('end') }])
        expect(entry.size).toBe(6)
        expect(await textOf(store, '/tail')).toBe('\0\0\0end')
      }
      await store.move(p('/big'), p('/moved'), { overwrite: false })
      expect((await store.stat(p('/moved')))?.size).toBe(size)
    })

    itWith('medium', lacking, 'serves files that others put there, and writes files that others can read', async () => {
      const { store, medium } = both()
      await medium.put('/theirs', 'of others')
      expect(await textOf(store, '/theirs')).toBe('of others')
      const first = await store.stat(p('/theirs'))
      expect(first).toMatchObject({ kind: 'file', size: 9 })
      await medium.drop('/theirs')
      expect(await store.stat(p('/theirs'))).toBeUndefined()
      expect(await failureOf(store.open(p('/theirs')))).toBe('not-found')
      await medium.put('/theirs', 'different')
      expect((await store.stat(p('/theirs')))?.etag).not.toBe(first?.etag)
      await put(store, '/d/ours', 'bytes')
      expect(await medium.read('/d/ours')).toBe('bytes')
    })

    itWith('medium', lacking, 'finds a name that others left in NFD, and replaces that one', async () => {
      const { store, medium } = both()
      await medium.put('/cafe\u0301', 'old')
      expect(await pathsBelow(store, '/')).toEqual(['/caf\u00e9'])
      expect(await textOf(store, '/caf\u00e9')).toBe('old')
      expect((await store.write(p('/caf\u00e9'), body('new'))).created).toBe(false)
      expect(await textOf(store, '/caf\u00e9')).toBe('new')
      expect(await pathsBelow(store, '/')).toEqual(['/caf\u00e9'])
      await store.remove(p('/caf\u00e9'))
      expect(await listed(store, '/')).toEqual([])
    })

    itWith(
      ability('links'),
      lacking,
      'takes symbolic links and fifos for absent, and never writes to their names',
      async () => {
        const { store, medium } = both()
        await medium.put('/inside', 'inside')
        await put(store, '/dir/member')
        await medium.symlink('/link', 'inside')
        await medium.symlink('/up', '../..')
        await medium.symlink('/etc', '/etc')
        await medium.symlink('/dangling', 'nowhere')
        await medium.symlink('/dirlink', 'dir')
        await medium.fifo('/fifo')
        const odd = ['/link', '/up', '/etc', '/dangling', '/dirlink', '/fifo']
        expect(await pathsBelow(store, '/', { order: 'key' })).toEqual(['/dir', '/inside'])
        expect(await pathsBelow(store, '/', { depth: 'infinity' })).toHaveLength(3)
        for (const path of odd.map(toPath)) {
          expect([path, await store.stat(path)]).toEqual([path, undefined])
          expect([path, await failureOf(store.open(path))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(listed(store, path))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.remove(path))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.change(path, { modified: 0 }))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.copy(path, p('/new'), { overwrite: true }))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.move(path, p('/new'), { overwrite: true }))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.write(path, body('x')))]).toEqual([path, 'denied'])
          expect([path, await failureOf(store.makeDirectory(path))]).toEqual([path, 'denied'])
          expect([path, await failureOf(store.copy(p('/inside'), path, { overwrite: true }))]).toEqual([path, 'denied'])
          expect([path, await failureOf(store.move(p('/inside'), path, { overwrite: true }))]).toEqual([path, 'denied'])
        }
        for (const path of ['/etc/passwd', '/dirlink/member', '/up/x']) {
          expect([path, await store.stat(p(path))]).toEqual([path, undefined])
          expect([path, await failureOf(store.open(p(path)))]).toEqual([path, 'not-found'])
          expect([path, await failureOf(store.write(p(path), body('x'), { parents: true }))]).toEqual([path, 'denied'])
        }
        expect(await medium.read('/inside')).toBe('inside')
        expect(await textOf(store, '/dir/member')).toBe('/dir/member')
        expect((await medium.everything()).filter((path) => odd.includes(path))).toHaveLength(odd.length)
      },
    )

    itWith(ability('links'), lacking, 'removes a tree without following links out of it', async () => {
      const { store, medium } = both()
      if (store.removeTree === undefined) return
      await put(store, '/kept/f')
      await put(store, '/d/f')
      await medium.symlink('/d/link', '../kept')
      await store.removeTree(p('/d'))
      expect(await store.stat(p('/d'))).toBeUndefined()
      expect(await textOf(store, '/kept/f')).toBe('/kept/f')
    })

    itWith('medium', lacking, 'neither shows nor touches the names that it keeps for itself', async () => {
      const { store, medium } = both()
      await put(store, '/d/f')
      for (const name of medium.reserved) {
        for (const path of [p(`/${name}`), p(`/d/${name}`)]) {
          await medium.put(path, 'own')
          expect(await store.stat(path)).toBeUndefined()
          expect(await failureOf(store.open(path))).toBe('not-found')
          expect(await failureOf(store.remove(path))).toBe('not-found')
          expect(await failureOf(store.write(path, body('x')))).toBe('denied')
          expect(await failureOf(store.makeDirectory(path))).toBe('denied')
          expect(await failureOf(store.write(p(`${path}/below`), body('x'), { parents: true }))).toBe('denied')
          expect(await failureOf(store.copy(p('/d/f'), path, { overwrite: true }))).toBe('denied')
          expect(await failureOf(store.move(p('/d/f'), path, { overwrite: true }))).toBe('denied')
          expect(await medium.read(path)).toBe('own')
          await medium.drop(path)
        }
      }
      expect(await pathsBelow(store, '/', { depth: 'infinity', order: 'key' })).toEqual(['/d', '/d/f'])
      expect(medium.reserved.length).toBeGreaterThan(0)
    })
  })
}

import { describe, expect, it } from 'vitest'
import { contents, failureWithPathOf, faults, refusing, storeOf, tree } from '../../test/contract/store/refusing.js'
import { body } from '../../test/contract/store/subject.js'
import { Failure } from '../core/failure.js'
import { toPath as p } from '../core/path.js'
import type { Store } from './store.js'
import { removeTree } from './tree.js'

describe('removeTree', () => {
  it('refuses the root and what is not there', async () => {
    const store = await storeOf(...tree)
    expect(await failureWithPathOf(removeTree(store, p('/')))).toBe('denied /')
    expect(await failureWithPathOf(removeTree(refusing(store, {}, { ways: 'members' }), p('/')))).toBe('denied /')
    expect(await failureWithPathOf(removeTree(store, p('/none')))).toBe('not-found /none')
    expect(await contents(store)).toHaveLength(9)
  })

  it.each(['all', 'members'] as const)('removes files and trees, by %s ways', async (ways) => {
    const inner = await storeOf(...tree)
    const store = refusing(inner, {}, { ways })
    expect(await removeTree(store, p('/a'))).toEqual({ failures: [], omitted: 0 })
    expect(await removeTree(store, p('/z/keep'))).toEqual({ failures: [], omitted: 0 })
    expect(await contents(inner)).toEqual(['/z/'])
  })

  it('goes on as far as it can, and reports neither what lies above nor below', async () => {
    const inner = await storeOf(...tree, '/a/b/c/i')
    const store = refusing(inner, { 'remove /a/b/c/h': 'locked', 'list /a/d': 'denied' }, { ways: 'members' })
    expect(faults(await removeTree(store, p('/a')))).toEqual(['denied /a/d', 'locked /a/b/c/h'])
    expect(await contents(inner, '/a')).toEqual(['/a/b/', '/a/b/c/', '/a/b/c/h=/a/b/c/h', '/a/d/'])
  })

  it('takes the long way where the medium refuses the short one, and the short one below', async () => {
    const inner = await storeOf(...tree)
    const calls: string[] = []
    expect(await removeTree(refusing(inner, { 'removeTree /a': 'denied' }, { calls }), p('/a'))).toMatchObject({
      failures: [],
    })
    expect(calls).toContain('removeTree /a/b')
    expect(await contents(inner)).toEqual(['/z/', '/z/keep=/z/keep'])
  })

  it('throws what keeps the directory itself, or the file', async () => {
    const inner = await storeOf(...tree)
    const store = refusing(
      inner,
      { 'remove /a': 'locked', 'remove /z/keep': 'denied', 'list /z': 'denied' },
      { ways: 'members' },
    )
    expect(await failureWithPathOf(removeTree(store, p('/a')))).toBe('locked /a')
    expect(await failureWithPathOf(removeTree(store, p('/z/keep')))).toBe('denied /z/keep')
    expect(await failureWithPathOf(removeTree(store, p('/z')))).toBe('denied /z')
    expect(await contents(inner)).toEqual(['/a/', '/z/', '/z/keep=/z/keep'])
  })

  it('counts what vanishes meanwhile as done, and takes what comes meanwhile too', async () => {
    const inner = await storeOf(...tree)
    let late = 2
    const store: Store = {
      ...refusing(inner, { 'remove /a/d': 'not-found' }, { ways: 'members' }),
      remove: async (path, options) => {
        await inner.remove(path, options)
        if (late-- > 0) await inner.write(p(`/a/late-${late}`), body('x'))
        if (path === '/a/f') throw new Failure('not-found', 'gone', { path })
      },
    }
    expect(await removeTree(store, p('/a'))).toEqual({ failures: [], omitted: 0 })
    expect(await contents(inner)).toEqual(['/z/', '/z/keep=/z/keep'])
  })

  it('gives up on a directory that is filled for ever or holds what it may not see', async () => {
    const inner = await storeOf(...tree)
    const filling: Store = {
      ...refusing(inner, {}, { ways: 'members' }),
      remove: async (path, options) => {
        if (path === '/a') await inner.write(p('/a/again'), body('x'))
        await inner.remove(path, options)
      },
    }
    expect(await failureWithPathOf(removeTree(filling, p('/a')))).toBe('not-empty /a')
    const blind: Store = { ...refusing(inner, {}, { ways: 'members' }), list: async function* () {} }
    expect(await failureWithPathOf(removeTree(blind, p('/z')))).toBe('not-empty /z')
    expect(await inner.stat(p('/z/keep'))).toBeDefined()
  })

  it('stops by its signal', async () => {
    const inner = await storeOf(...tree)
    expect(await failureWithPathOf(removeTree(inner, p('/a'), { signal: AbortSignal.abort() }))).toBe('incomplete')
    expect(await contents(inner)).toHaveLength(9)
  })
})

import { describe, expect, it } from 'vitest'
import { atHome, homeOf, linksToHomes, withHomes } from './home.js'
import type { Directory, Verdict } from './identity.js'
import { rootPath, toPath } from '../core/path.js'

const known = (name: string): Verdict => ({ kind: 'identity', identity: { name, source: 'test', grants: ['rw:/**'] } })
const directory: Directory = {
  name: 'test',
  accepts: new Set(['password']),
  check: async (credential) => (credential.kind === 'password' ? known(credential.name) : { kind: 'unknown' }),
  signingKey: async (id) => ({ secret: 's', identity: { name: id, source: 'test', grants: [] } }),
}
const facts = { method: 'GET', target: '/' }

describe('a home', () => {
  it.each(['..', '.', '', 'a/b', '../bob', '*', 'a\\b', 'a\0', '-'])('is none for the name %j', async (name) => {
    expect(() => homeOf('/{user}', name)).toThrow()
    const verdict = await withHomes(directory, { home: '/{user}' }).check(
      { kind: 'password', name, password: '' },
      facts,
    )
    expect(verdict).toEqual({ kind: 'refused', why: 'no-home' })
  })

  it.each(['home', '/', '', '/-/x', '/a/../b', '/./x'])('cannot be %j', (home) => {
    expect(() => homeOf(home, 'alice')).toThrow()
  })

  it('is a canonical path, with the name in it everywhere', () => {
    expect(homeOf('/h/{user}/{user}/', 'e\u0301')).toBe('/h/\u00e9/\u00e9')
    expect(homeOf('/h/{user}', '$&')).toBe('/h/$&')
  })

  it('goes with every identity of a source: of a login, a key, a link', async () => {
    const setting = { home: '/h/{user}', quotaBytes: 5 }
    const found = await withHomes(directory, setting).check({ kind: 'password', name: 'al', password: '' }, facts)
    expect(found).toMatchObject({ identity: { home: '/h/al', quotaBytes: 5 } })
    expect(await withHomes(directory, setting).signingKey?.('id')).toMatchObject({ identity: { home: '/h/id' } })
    const target = { path: toPath('/f'), slash: false, query: '' }
    const identity = { name: 'al', source: 'test', grants: [] }
    const links = linksToHomes({ below: [rootPath], open: async () => ({ target, identity, until: 1 }) }, setting)
    const request = {} as Parameters<typeof links.open>[0]
    expect(links.below).toEqual([rootPath])
    expect(await links.open(request, target)).toMatchObject({ target, identity: { home: '/h/al' }, until: 1 })
  })

  it('is what the source of the identity says where it says one', () => {
    const setting = { home: '/h/{user}', quotaBytes: 5 }
    const identity = { name: 'al', source: 'test', grants: [] }
    expect(atHome({ ...identity, home: toPath('/x'), quotaBytes: 7 }, setting)).toMatchObject({ home: '/x', quotaBytes: 7 }) // prettier-ignore
    expect(atHome({ ...identity, home: rootPath }, setting)).toEqual({ ...identity, home: rootPath })
  })
})

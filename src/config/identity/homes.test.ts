import { describe, expect, it } from 'vitest'
import { loadConfig } from '../load.js'
import type { IdentitySetting } from './entry.js'

function load(identity: unknown): readonly IdentitySetting[] {
  const environment = { POSTERN_IDENTITY: JSON.stringify(identity) }
  return loadConfig({ directory: '/srv', environment, flags: {} }).identity
}

describe('home and quota of a source', () => {
  it('are none without being set', () => {
    expect(load(['catalog'])[0]).not.toHaveProperty('home')
  })

  it('can be set for every kind, the catalog too', () => {
    const [catalog, htpasswd] = load([
      { catalog: { home: '/home/{user}' } },
      { htpasswd: { file: 'users', grants: [], home: '/team', quota: '5G' } },
    ])
    expect(catalog?.home).toEqual({ home: '/home/{user}' })
    expect(htpasswd?.home).toEqual({ home: '/team', quotaBytes: 5 * 1024 ** 3 })
  })

  it.each([
    [{ home: '/' }, 'path below the root'],
    [{ home: 'home' }, 'path below the root'],
    [{ home: '/a/../{user}' }, 'path below the root'],
    [{ home: '/-/{user}' }, 'path below the root'],
    [{ quota: '5G' }, 'needs a home'],
    [{ home: '/h', quota: '5 gigabytes' }, '500M'],
    [{ home: '/h', quota: 0 }, '500M'],
    [{ home: '/h', quota: 1.5 }, '500M'],
  ])('refuse %j', (settings, why) => {
    expect(() => load([{ catalog: settings }])).toThrow(why)
  })
})

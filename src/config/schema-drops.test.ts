import { tmpdir } from 'node:os'
import { describe, expect, it } from 'vitest'
import { loadConfig } from './load.js'

const hash = 'ZoVpVANnsemHCEujDKj+YQWyijBB0fwTDH0HFM2eRDQ='
const hex = Buffer.from(hash, 'base64').toString('hex')

function load(drops: unknown, more: Readonly<Record<string, string>> = {}): ReturnType<typeof loadConfig> {
  const environment = { POSTERN_DROPS: JSON.stringify(drops), ...more }
  return loadConfig({ directory: tmpdir(), environment, flags: { state: { flag: '--state', value: '/tmp/none' } } })
}

describe('drops', () => {
  it.each([
    [{ path: '/', to: '/in' }, 'must be a path of its own'],
    [{ path: '//', to: '/in' }, 'must be a path of its own'],
    [{ path: '/-/drop', to: '/in' }, 'must be a path of its own'],
    [{ path: 'drop', to: '/in' }, 'begin with a slash'],
    [{ path: '/a/../b', to: '/in' }, 'DROPS'],
    [{ path: '/drop' }, 'to'],
    [{ path: '/drop', to: '/-/in' }, 'must not lie below'],
    [{ path: '/drop', to: '/in/*' }, 'must not have any of'],
    [{ path: '/drop', to: '/{user}' }, 'must not have any of'],
    [{ path: '/drop', to: '/in', limit: 0 }, 'must be a number of bytes'],
    [{ path: '/drop', to: '/in', name: '{time}' }, 'must have {uuid}'],
    [{ path: '/drop', to: '/in', types: ['text'] }, 'must be a media type'],
    [{ path: '/drop', to: '/in', cdn: 'on' }, 'must be off'],
    [{ path: '/drop', to: '/in', tokens: [{ name: 'a', sha256: 'secret' }] }, 'must be the SHA-256'],
    [{ path: '/drop', to: '/in', tokens: [{ name: 'a', sha256: [] }] }, 'must not be empty'],
    [{ path: '/drop', to: '/in', tokens: [{ name: 'a b', sha256: hash }] }, 'must be of letters'],
    [{ path: '/drop', to: '/in', tokens: [{ name: 'a', sha256: [hash, hex] }] }, 'one hash twice'],
    [
      {
        path: '/drop',
        to: '/in',
        tokens: [
          { name: 'a', sha256: hash },
          { name: 'a', sha256: hash.replace('Z', 'Y') },
        ],
      },
      'different names',
    ],
  ])('are refused where they are not right: %j', (drop, message) => {
    expect(() => load([drop])).toThrow(
      expect.objectContaining({ kind: 'invalid', message: expect.stringContaining(message) as string }),
    )
  })

  it('have paths of their own, and no Unix users', () => {
    expect(() =>
      load([
        { path: '/a', to: '/in' },
        { path: '/a/', to: '/out' },
      ]),
    ).toThrow(/different paths/)
    expect(() => load([{ path: '/a', to: '/in' }], { POSTERN_PRIVSEP: 'true' })).toThrow(/privsep/)
    expect(load([{ path: '/a', to: '/in' }]).drops).toMatchObject([{ limit: 10_240, name: '{time}-{uuid}' }])
  })
})

import { describe, expect, it } from 'vitest'
import { temporaryFolder } from '../../../test/serving.js'
import { loadConfig } from '../load.js'
import type { Config } from '../load.js'

const old = { REGION: 'eu-west-1', TABLE: 'basicAuthUsers', REALM: 'dav' }

function load(environment: Readonly<Record<string, string>>, identity?: unknown): Config {
  const flags = identity === undefined ? {} : { identity: { flag: '--identity', value: identity } }
  return loadConfig({ directory: temporaryFolder(), environment, flags })
}

describe('the environment of the old container', () => {
  it.each([
    ['nothing of it', {}],
    ['no region', { TABLE: 'users', REALM: 'dav' }],
    ['no table', { REGION: 'eu-west-1', REALM: 'dav' }],
    ['no realm', { REGION: 'eu-west-1', TABLE: 'users' }],
    ['an empty realm', { ...old, REALM: '' }],
    ['a folder and a duration alone', { CACHE_FOLDER: '/tmp', CACHE_DURATION: '60' }],
    ['identities in the environment', { ...old, POSTERN_IDENTITY: '[catalog]' }],
  ])('does not count with %s', (_what, environment) => {
    const config = load(environment)
    expect(config.identity.map(({ kind }) => kind)).toEqual(['catalog'])
    expect(config.basicRealm).toBe('Postern')
  })

  it('does not count where the configuration names an identity', () => {
    expect(load(old, ['catalog']).identity).toMatchObject([{ kind: 'catalog' }])
  })

  it('names the table, where everybody may do everything, and the realm that clients have seen', () => {
    const config = load(old)
    expect(config.identity).toEqual([
      {
        kind: 'dynamodb',
        name: 'dynamodb',
        cacheSeconds: 120,
        settings: {
          table: 'basicAuthUsers',
          realm: 'dav',
          region: 'eu-west-1',
          grants: ['rw:/**'],
        },
      },
    ])
    expect(config.basicRealm).toBe('private area')
    expect(load({ ...old, POSTERN_BASIC_REALM: 'mine' }).basicRealm).toBe('mine')
  })

  it.each([
    ['120', 120],
    ['0', 0],
    ['60 seconds', 60],
    ['+5', 5],
    [' 7', 7],
    ['two minutes', 0],
    ['-5', 0],
    ['1e3', 1],
    ['999999999999999999999', 86_400],
  ])('takes a duration as the old program does: %j', (text, seconds) => {
    expect(load({ ...old, CACHE_DURATION: text }).identity[0]?.cacheSeconds).toBe(seconds)
  })

  it('keeps the folder', () => {
    expect(load({ ...old, CACHE_FOLDER: '/var/cache/dav' }).identity[0]?.cacheFolder).toBe('/var/cache/dav')
    expect(load({ ...old, CACHE_FOLDER: '' }).identity[0]).not.toHaveProperty('cacheFolder')
  })

  it('says which variables are wrong', () => {
    expect(() => load({ ...old, TABLE: 'no table/at all' })).toThrow(
      /^REGION, TABLE, REALM, CACHE_FOLDER, CACHE_DURATION: .*must be the name of a DynamoDB table/,
    )
  })
})

describe('the words of the PAM line', () => {
  const settings = load(old).identity[0]?.settings
  it.each([
    'eu-west-1 basicAuthUsers dav /tmp 60',
    'libpam-dynamo.so eu-west-1 basicAuthUsers dav /tmp 60',
    '  auth   required /lib/security/libpam-dynamo.so  eu-west-1 basicAuthUsers dav /tmp 60 ',
  ])('are settings: %s', (line) => {
    const [setting] = load({}, [{ dynamodb: line }]).identity
    expect(setting).toEqual({ kind: 'dynamodb', name: 'dynamodb', cacheSeconds: 60, cacheFolder: '/tmp', settings })
  })

  it.each(['', 'eu-west-1', 'eu-west-1 basicAuthUsers dav /tmp', 'eu-west-1 basicAuthUsers dav /tmp 60 more'])(
    'are none where one is missing or too many: %j',
    (line) => {
      expect(() => load({}, [{ dynamodb: line }])).toThrow(/must be a group of keys/)
    },
  )

  it('are none to a source that has no such words', () => {
    expect(() => load({}, [{ catalog: 'eu-west-1 basicAuthUsers dav /tmp 60' }])).toThrow()
  })
})

describe('the settings of a users table', () => {
  const right = { table: 'basicAuthUsers', realm: 'dav' }
  it.each([
    [{ realm: 'dav' }, /table/],
    [{ table: 'basicAuthUsers' }, /realm/],
    [{ ...right, sortKey: 'name' }, /must be one of: user, username/],
    [{ ...right, endpoint: 'file:///etc/passwd' }, /must be a URL/],
    [{ ...right, endpoint: '127.0.0.1:8000' }, /must be a URL/],
    [{ ...right, region: 'eu-west-1.evil.example/' }, /must be a region/],
    [{ ...right, grants: ['rw'] }, /grant/],
    [{ ...right, scopeGrants: { admin: ['rw'] } }, /grant/],
    [{ ...right, scopeGrants: { 'a:b': ['r:/**'] } }, /scopeGrants/],
    [{ ...right, rehash: 'yes' }, /must be true or false/],
    [{ ...right, cacheSeconds: -1 }, /cacheSeconds/],
    [{ ...right, pasword: 'x' }, /pasword/],
  ])('are refused: %j', (settings, message) => {
    expect(() => load({}, [{ dynamodb: settings }])).toThrow(message)
  })

  it('take a folder beside the file that names it', () => {
    const [setting] = load({}, [{ dynamodb: { ...right, cacheFolder: './cache', name: 'staff' } }]).identity
    expect(setting).toMatchObject({ name: 'staff', settings: right })
    expect(setting?.cacheFolder).toMatch(/^\/.*\/cache$/)
  })
})

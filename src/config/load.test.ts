import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Failure } from '../core/failure.js'
import { identityKinds } from './identity/kinds.js'
import { loadConfig } from './load.js'
import type { Config, ConfigSources } from './load.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-config-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

describe('a wrong configuration', () => {
  it.each([
    ['root: ./data\npublicOrigin: []\n', 'postern.yaml:2: publicOrigin: is not a setting; did you mean publicOrigins?'],
    ['rooot: x\n', 'postern.yaml:1: rooot: is not a setting; did you mean root?'],
    ['flavour: sweet\n', 'postern.yaml:1: flavour: is not a setting'],
    ['\n\nuniform403: maybe\n', 'postern.yaml:3: uniform403: must be true or false'],
    ['root: [a]\n', 'postern.yaml:1: root: must be text'],
    ['root: ""\n', 'postern.yaml:1: root: must not be empty'],
    ['listen: []\n', 'postern.yaml:1: listen: must not be empty'],
    [
      'listen:\n  - 127.0.0.1:1\n  - "nowhere"\n',
      'postern.yaml:3: listen[1]: must be HOST:PORT, unix:PATH, systemd or systemd:NAME',
    ],
    [
      'listen: ["127.0.0.1:99999"]\n',
      'postern.yaml:1: listen[0]: must be HOST:PORT, unix:PATH, systemd or systemd:NAME',
    ],
    [
      'listen: [{ at: ":1", surface: [http] }]\n',
      'postern.yaml:1: listen[0].surface: is not a setting; did you mean surfaces?',
    ],
    [
      'listen: [{ at: ":1", surfaces: [ftp] }]\n',
      'postern.yaml:1: listen[0].surfaces[0]: must be one of: webdav, http, s3, drop',
    ],
    ['mounts: []\n', 'postern.yaml:1: mounts: must not be empty'],
    [
      'mounts:\n  - { path: /, local: a }\n  - { path: /b }\n',
      'postern.yaml:3: mounts[1]: must have one of: local (a directory), s3 (s3://BUCKET/PREFIX?region=…)',
    ],
    ['mounts: [{ path: /, local: a, s3: "s3://b" }]\n', /^postern.yaml:1: mounts\[0\]: must have one of/],
    ['mounts: [{ path: "/a/../b", local: a }]\n', /^postern.yaml:1: mounts\[0\].path: /],
    [
      'mounts: [{ path: /, local: a }, { path: //, local: b }]\n',
      'postern.yaml:1: mounts[1]: another store is mounted at /',
    ],
    [
      'mounts: [{ path: /, local: a }, { path: /b, local: a/b }]\n',
      /^postern.yaml:1: mounts: the directory at \/b lies within that at \/: /,
    ],
    [
      'mounts: [{ path: /b, local: a }, { path: /, local: ./a/ }]\n',
      /^postern.yaml:1: mounts: the directory at \/b lies within/,
    ],
    [
      'mounts:\n  - path: /\n    s3: s3://bucket?region=r&endpiont=http://x\n',
      /^postern.yaml:2: mounts\[0\]: .*endpiont/,
    ],
    [
      'mounts: [{ path: /, s3: "s3://bucket" }]\n',
      /^postern.yaml:1: mounts\[0\]: The region of the bucket is not known/,
    ],
    ['root: x\nmounts: [{ path: /, local: a }]\n', /^postern.yaml:1: root: is not read where mounts are set/],
    [
      'state: a/b\nmounts: [{ path: /, s3: "s3://bucket?region=r" }, { path: /x, local: a }]\n',
      /^postern.yaml:1: state: must not lie inside the served directory/,
    ],
    [
      'mounts: [{ path: /, local: a, readonly: true }]\n',
      /mounts\[0\].readonly: is not a setting; did you mean readOnly\?/,
    ],
    [
      'catalog: { postgres: "postgres://u:p@h/d" }\n',
      /^postern.yaml:1: catalog: needs a secret that all instances share/,
    ],
    ['catalog: { postgres: "mysql://h/d" }\n', /^postern.yaml:1: catalog.postgres: must be like postgres:\/\//],
    ['catalog: { dynamodb: { table: x } }\n', /^postern.yaml:1: catalog.dynamodb.table: must be a name of a table/],
    ['catalog: sqlite\n', /^postern.yaml:1: catalog: must be \{ postgres: /],
    ['secret: { env: "A B" }\n', /^postern.yaml:1: secret.env: must be the name of a variable/],
    ['secret: hush\n', /^postern.yaml:1: secret: must be \{ file: FILE \}/],
    ['durability: maximal\n', 'postern.yaml:1: durability: must be one of: full, fast'],
    [
      'identity: [ldap]\n',
      'postern.yaml:1: identity[0]: must be catalog, or one source with its settings: ' +
        [...identityKinds.keys()].join(', '),
    ],
    ['publicOrigins: ["https://a.example/"]\n', /publicOrigins\[0\]: must be an origin such as/],
    ['publicOrigins: https://a.example\n', 'postern.yaml:1: publicOrigins: must be a list'],
    ['hosts: ["https://a.example"]\n', /hosts\[0\]: must be a name or an address without a port/],
    ['hosts: ["a.example:80"]\n', /hosts\[0\]: must be a name or an address without a port/],
    ['trustedProxies: [10.0.0.0/40]\n', /trustedProxies\[0\]: must be an address, a network/],
    ['basePath: files\n', /basePath: must be empty or like \/files/],
    ['anonymous:\n  grants: ["rx:/a"]\n', /postern.yaml:2: anonymous.grants\[0\]: The grant "rx:\/a" is not right/],
    ['anonymous: {}\n', 'postern.yaml:1: anonymous.grants: must be a list'],
    ['cors: { origins: ["*"] }\n', /cors.origins\[0\]: must be an exact origin/],
    ['tls: please\n', 'postern.yaml:1: tls: must be self-signed or { cert: FILE, key: FILE }'],
    ['tls: { cert: a }\n', 'postern.yaml:1: tls.key: must be text'],
    ['log: { level: loud }\n', 'postern.yaml:1: log.level: must be one of: debug, info, warn, error, silent'],
    ['limits: { idleSecond: 3 }\n', 'postern.yaml:1: limits.idleSecond: is not a setting; did you mean idleSeconds?'],
    ['limits:\n  headerBytes: 1\n', 'postern.yaml:2: limits.headerBytes: must be a whole number from 4096 to 1048576'],
    ['limits: 5\n', 'postern.yaml:1: limits: must be a group of keys'],
    ['- a\n', 'postern.yaml:1: must be a group of keys such as "root: ./data"'],
    ['root: a\nroot: b\n', /postern.yaml:2: Map keys must be unique/],
    ['root: "a\n', /postern.yaml:\d: Missing closing/],
    ['state: ./data/inside\n', /postern.yaml:1: state: must not lie inside the served directory/],
    [
      'privsep: { records: ./data/inside }\n',
      /postern.yaml:1: privsep: records .* must not lie inside the served directory/,
    ],
    [
      'privsep: { runtime: ./data/run }\n',
      /postern.yaml:1: privsep: runtime .* must not lie inside the served directory/,
    ],
  ])('%j is refused with key and line', (text, message) => {
    const failure = failureOf(() => load({ text }))
    expect(failure.kind).toBe('invalid')
    if (typeof message === 'string') expect(failure.message).toBe(message)
    else expect(failure.message).toMatch(message)
  })

  it('names every problem on a line of its own', () => {
    const text = 'uniform403: 1\nroot: 2\n'
    expect(() => load({ text })).toThrow(
      'postern.yaml:2: root: must be text\npostern.yaml:1: uniform403: must be true or false',
    )
  })

  it('names the variable or the flag where the value came from there', () => {
    const environment = { POSTERN_UNIFORM403: 'perhaps', POSTERN_LISTEN: '["x"]' }
    expect(() => load({ environment })).toThrow('POSTERN_LISTEN: [0]: must be HOST:PORT')
    expect(() => load({ environment })).toThrow('POSTERN_UNIFORM403: must be true or false')
    expect(() => load({ environment: { POSTERN_ROOT: '[a' } })).toThrow('POSTERN_ROOT: is not valid YAML')
    expect(() => load({ flags: { durability: { flag: '--durability', value: 'x' } } })).toThrow(
      '--durability: must be one of',
    )
  })

  it('that was named and is missing is an error', () => {
    expect(() => loadConfig({ directory, file: 'none.yaml', environment: {}, flags: {} })).toThrow(
      'none.yaml: cannot be read (ENOENT).',
    )
  })

  it('finds a state inside the root behind links too', () => {
    mkdirSync(join(directory, 'data'))
    symlinkSync(join(directory, 'data'), join(directory, 'elsewhere'))
    expect(() => load({ text: 'state: ./elsewhere/state\n' })).toThrow('must not lie inside')
    expect(() => load({ text: 'root: /\n' })).toThrow('must not lie inside')
  })
})

describe('a right configuration', () => {
  it('has a default for everything', () => {
    const config = load({})
    expect(config).toMatchObject({
      mounts: [{ kind: 'local', path: '/', directory: join(directory, 'data') }],
      state: join(directory, 'data.postern'),
      durability: 'full',
      identity: [{ kind: 'catalog', name: 'catalog', cacheSeconds: 120 }],
      listen: [
        { name: '127.0.0.1:8080', at: { kind: 'tcp', host: '127.0.0.1', port: 8080 }, surfaces: [], tls: false },
      ],
    })
    expect(config.anonymous).toBeUndefined()
  })

  it('lets the command line win over the environment, and that over the file', () => {
    const text = 'root: a\nbasicRealm: file\nuniform403: true\n'
    const environment = { POSTERN_BASIC_REALM: 'environment', POSTERN_ROOT: 'b' }
    const config = load({ text, environment, flags: { root: { flag: 'DIR', value: 'c' } } })
    expect(config).toMatchObject({ basicRealm: 'environment', uniform403: true })
    expect(config.mounts).toMatchObject([{ path: '/', directory: join(directory, 'c') }])
  })

  it('understands mounts, a shared catalog and where the secret is', () => {
    const text = `durability: fast
mounts: [{ path: /, local: a }, { path: /b/c, s3: "s3://bucket/p?region=r", readOnly: true, maxFileBytes: 1K }, { path: /d, local: b, durability: full }]
catalog: { postgres: "postgres://h/d" }
secret: { file: s }
`
    const config = load({ text })
    expect(config.mounts).toEqual([
      { kind: 'local', path: '/', directory: join(directory, 'a'), separated: false, readOnly: false, durability: 'fast', symlinks: 'absent' }, // prettier-ignore
      { kind: 's3', path: '/b/c', url: 's3://bucket/p?region=r', readOnly: true, maxFileBytes: 1024, selfTest: true },
      { kind: 'local', path: '/d', directory: join(directory, 'b'), separated: false, readOnly: false, durability: 'full', symlinks: 'absent' }, // prettier-ignore
    ])
    expect(config.state).toBe(join(directory, 'a.postern'))
    expect(config.catalog).toEqual({ postgres: 'postgres://h/d', poolSize: 10 })
    expect(config.secret).toEqual({ file: join(directory, 's') })
  })

  it('takes paths in a file from its own directory, others from the working directory', () => {
    mkdirSync(join(directory, 'etc'))
    writeFileSync(join(directory, 'etc', 'p.yaml'), 'root: ./files\nlisten: ["unix:./p.sock"]\n')
    const config = loadConfig({ directory, file: 'etc/p.yaml', environment: { POSTERN_STATE: './s' }, flags: {} })
    expect(config.mounts).toMatchObject([{ directory: join(directory, 'etc', 'files') }])
    expect(config.state).toBe(join(directory, 's'))
    expect(config.listen[0]?.at).toEqual({ kind: 'unix', path: join(directory, 'etc', 'p.sock') })
  })

  it('reads every form of a listener', () => {
    const text = `tls: self-signed
listen: [":80", "[::1]:81", localhost:82, "83", { at: "127.0.0.1:84", surfaces: [http], tls: false }, ":80"]
`
    expect(load({ text }).listen.map(({ name, at, surfaces, tls }) => [name, at, surfaces, tls])).toEqual([
      [':80', { kind: 'tcp', host: '', port: 80 }, [], true],
      ['[::1]:81', { kind: 'tcp', host: '::1', port: 81 }, [], true],
      ['localhost:82', { kind: 'tcp', host: 'localhost', port: 82 }, [], true],
      ['83', { kind: 'tcp', host: '', port: 83 }, [], true],
      ['127.0.0.1:84', { kind: 'tcp', host: '127.0.0.1', port: 84 }, ['http'], false],
      [':80 (2)', { kind: 'tcp', host: '', port: 80 }, [], true],
    ])
  })

  it('takes a lone listener for a list', () => {
    expect(load({ environment: { POSTERN_LISTEN: '127.0.0.1:9' } }).listen).toHaveLength(1)
  })

  it('warns of variables that look like a slip, and of no others', () => {
    const environment = { POSTERN_LISTNE: 'x', POSTERN_SERVICE_HOST: '10.0.0.1', POSTERN_ADMIN_PASSWORD: 'x' }
    expect(load({ environment }).warnings).toEqual(['POSTERN_LISTNE is not a setting; did you mean POSTERN_LISTEN?'])
  })
})

function failureOf(work: () => unknown): Failure {
  try {
    work()
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
  throw new Error('nothing was refused')
}

function load(given: Partial<ConfigSources> & { readonly text?: string }): Config {
  if (given.text !== undefined) writeFileSync(join(directory, 'postern.yaml'), given.text)
  return loadConfig({ directory, environment: given.environment ?? {}, flags: given.flags ?? {} })
}

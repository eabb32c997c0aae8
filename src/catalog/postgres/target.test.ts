import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { dsqlTarget, postgresTarget } from './target.js'

const cluster = 'abcdefghijklmnopqrstuvwxyz.dsql.eu-west-1.on.aws'

describe('what is refused', () => {
  it.each([
    'not a url',
    'mysql://u@h/d',
    'postgres:///d',
    'postgres://h/d',
    'postgres://u:secret%zz@h/d',
    'postgres://u:secret@h/d?sslmode=maybe',
    'postgres://u:secret@h/d?sslmod=require',
    'postgres://u:secret@h/d?options=-c%20x',
    'postgres://u:secret@h/d?sslrootcert=/not/there',
    'dsql://elsewhere.example.org',
    `dsql://${cluster}.evil.example`,
    `dsql://user:secret@${cluster}`,
    `dsql://${cluster}:5433`,
    `dsql://${cluster}?sslmode=disable`,
  ])('%s, without saying the password', (url) => {
    const refused = vi.fn(() => postgresTarget(url))
    expect(refused).toThrow()
    const thrown: unknown = refused.mock.results[0]?.value
    expect(isFailure(thrown, 'invalid')).toBe(true)
    expect(String(thrown)).not.toContain('secret')
  })
})

it('reads a URL of PostgreSQL', () => {
  expect(postgresTarget('postgres://us%40er:p%2Fw@db.example.org:6432/my%20db')).toEqual({
    dialect: 'postgres',
    host: 'db.example.org',
    port: 6432,
    user: 'us@er',
    password: 'p/w',
    database: 'my db',
    tls: { mode: 'preferred' },
  })
  expect(postgresTarget('postgresql://u@[::1]')).toMatchObject({ host: '::1', port: 5432, database: 'u' })
  expect(postgresTarget('postgres://u@localhost/d?host=/run/postgresql')).toMatchObject({
    host: '/run/postgresql',
    tls: { mode: 'off' },
  })
})

it('takes sslmode as libpq does', () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-target-'))
  const file = join(directory, 'ca.pem')
  writeFileSync(file, 'PEM')
  const tls = (query: string) => postgresTarget(`postgres://u@h/d?${query}`).tls
  expect(tls('sslmode=disable')).toEqual({ mode: 'off' })
  expect(tls('sslmode=prefer')).toEqual({ mode: 'preferred' })
  expect(tls('sslmode=require')).toEqual({ mode: 'encrypted' })
  expect(tls(`sslmode=require&sslrootcert=${file}`)).toEqual({ mode: 'authority', authorities: 'PEM' })
  expect(tls(`sslmode=verify-full&sslrootcert=${file}`)).toEqual({ mode: 'verified', authorities: 'PEM' })
  expect(tls('sslmode=verify-full&sslrootcert=system')).toEqual({ mode: 'verified' })
  // Who names authorities and nothing else does not mean "anybody will do".
  expect(tls(`sslrootcert=${file}`)).toEqual({ mode: 'verified', authorities: 'PEM' })
  expect(tls('sslrootcert=system')).toEqual({ mode: 'verified' })
  for (const mode of ['disable', 'prefer', 'require', 'verify-ca'])
    expect(() => tls(`sslmode=${mode}&sslrootcert=system`), mode).toThrow(/verify-full/)
  rmSync(directory, { recursive: true })
})

it('takes what a URL leaves out from the variables of libpq, and nothing else', () => {
  const environment = {
    PGHOST: 'db.example.org',
    PGPORT: '6432',
    PGUSER: 'postern',
    PGPASSWORD: 'p/w',
    PGDATABASE: 'files',
    PGSSLMODE: 'verify-full',
    PGSSLROOTCERT: 'system',
  }
  const named = {
    dialect: 'postgres',
    host: 'db.example.org',
    port: 6432,
    user: 'postern',
    password: 'p/w',
    database: 'files',
    tls: { mode: 'verified' },
  }
  expect(postgresTarget('postgres://', environment)).toEqual(named)
  expect(postgresTarget('postgres:///other', environment)).toEqual({ ...named, database: 'other' })
  expect(postgresTarget('postgres://me:mine@h:1/d?sslmode=verify-full', environment)).toEqual({
    ...named,
    host: 'h',
    port: 1,
    user: 'me',
    password: 'mine',
    database: 'd',
  })
  expect(postgresTarget('postgres://u@h/d')).not.toHaveProperty('password')
  for (const PGPORT of ['0', '65536', 'x', '1 '])
    expect(() => postgresTarget('postgres://u@h', { ...environment, PGPORT })).toThrow(/PGPORT/)
  const cluster = 'abcdefghijklmnopqrstuvwxyz.dsql.eu-west-1.on.aws'
  expect(postgresTarget(`dsql://${cluster}`, environment)).toMatchObject({ host: cluster, port: 5432, user: 'admin' })
})

describe('Aurora DSQL', () => {
  afterEach(() => vi.unstubAllEnvs())

  const signedIn = (): void => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'wJalrXUtnFEMI')
  }
  const passwordOf = async (url: string): Promise<URL> => {
    const { password } = postgresTarget(url)
    return new URL(`https://${typeof password === 'function' ? await password() : ''}`)
  }

  it('is entered by TLS with a certificate for its host', () => {
    expect(postgresTarget(`dsql://${cluster}`)).toMatchObject({
      dialect: 'dsql',
      host: cluster,
      port: 5432,
      user: 'admin',
      database: 'postgres',
      tls: { mode: 'verified' },
    })
    expect(postgresTarget(`dsql://${cluster}/other?user=files`)).toMatchObject({ user: 'files', database: 'other' })
    expect(() => dsqlTarget({ endpoint: 'a/b', region: 'eu-west-1' })).toThrow()
  })

  it('takes a token of IAM as password: one for the admin, another for all others', async () => {
    signedIn()
    const admin = await passwordOf(`dsql://${cluster}`)
    expect(admin.hostname).toBe(cluster)
    expect(admin.searchParams.get('Action')).toBe('DbConnectAdmin')
    expect(admin.searchParams.get('X-Amz-Credential')).toMatch(/^AKIDEXAMPLE\/\d{8}\/eu-west-1\/dsql\/aws4_request$/)
    const files = await passwordOf(`dsql://${cluster}?user=files`)
    expect(files.searchParams.get('Action')).toBe('DbConnect')
    expect(files.searchParams.get('X-Amz-Expires')).toBe('900')
  })

  it('makes one token for a burst of connections, and another a while later', async () => {
    signedIn()
    vi.useFakeTimers({ toFake: ['performance', 'Date'] })
    try {
      const { password } = postgresTarget(`dsql://${cluster}`)
      if (typeof password !== 'function') throw new Error('a password that is asked for each time')
      const first = await password()
      expect(await password()).toBe(first)
      vi.advanceTimersByTime(61_000)
      expect(await password()).not.toBe(first)
    } finally {
      vi.useRealTimers()
    }
  })
})

import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseEnv } from 'node:util'
import { describe, expect, it } from 'vitest'
import { parseGrant } from '../src/auth/grant.js'
import { dropboxEnvironment, isDropOnly } from '../src/config/dropbox-environment.js'
import { loadConfig } from '../src/config/load.js'
import type { Config } from '../src/config/load.js'

const folder = fileURLToPath(new URL('../examples/', import.meta.url))
const files = readdirSync(folder).filter((name) => name.endsWith('.yaml'))

/** What each example promises in its comment. */
const promises: Readonly<Record<string, (config: Config) => void>> = {
  'laptop.yaml': ({ listen, mounts, state, tls }) => {
    expect(listen.map(({ at }) => at)).toEqual([{ kind: 'tcp', host: '127.0.0.1', port: 8080 }])
    expect(mounts).toMatchObject([{ path: '/', directory: `${folder}data` }])
    expect(state).toBe(`${folder}data.postern`)
    expect(tls).toBeUndefined()
  },
  'two-users.yaml': ({ listen, anonymous }) => {
    expect(listen.map(({ tls }) => tls)).toEqual([true])
    expect(anonymous?.grants).toEqual(['r:/public/**'])
  },
  'behind-a-proxy.yaml': ({ publicOrigins, trustedProxies, listen }) => {
    expect(publicOrigins).toEqual(['https://files.example.org'])
    expect(trustedProxies).toContain('127.0.0.1/32')
    expect(listen.map(({ tls }) => tls)).toEqual([false])
  },
  'below-a-path.yaml': ({ basePath, listen, trustedProxies }) => {
    expect(basePath).toBe('/files')
    expect(listen.map(({ at }) => at)).toEqual([{ kind: 'unix', path: '/run/postern/http.sock' }])
    expect(trustedProxies).toEqual(['unix'])
  },
  'home-dirs.yaml': ({ identity, uploads }) => {
    expect(identity.map(({ home }) => home)).toEqual([{ home: '/home/{user}', quotaBytes: 10 * 1024 ** 3 }])
    expect(uploads).toEqual([{ path: '/home/**', bytes: 4 * 1024 ** 3 }])
  },
  'instances.yaml': ({ mounts, catalog, secret }) => {
    expect(mounts).toMatchObject([{ kind: 's3', path: '/' }])
    expect(catalog).toMatchObject({ postgres: 'postgres://postern@db.example.org/postern?sslmode=require' })
    expect(secret).toEqual({ env: 'FILES_SECRET' })
  },
  'archive.yaml': ({ mounts }) => {
    expect(mounts).toMatchObject([
      { kind: 'local', path: '/', directory: `${folder}data` },
      { kind: 's3', path: '/archive', maxFileBytes: 100 * 1024 ** 3 },
      { kind: 'local', path: '/manuals', readOnly: true },
    ])
  },
  'drops.yaml': ({ drops }) => {
    expect(drops).toMatchObject([
      {
        path: '/v1/drop',
        to: '/inbox/readings',
        limit: 2 ** 20,
        public: false,
        tokens: [{ name: 'roof', to: '/roof' }],
      },
      { path: '/post', limit: 20 * 2 ** 20, types: ['image/*'], tokens: [], public: true },
    ])
  },
  'inbox.yaml': ({ listen, cors, limits }) => {
    expect(listen.map(({ surfaces }) => surfaces)).toEqual([[], ['http']])
    expect(cors?.origins).toEqual(['https://app.example.org'])
    expect(limits.idleSeconds).toBe(300)
  },
}

function load(name: string): Config {
  return loadConfig({ directory: folder, file: `${folder}${name}`, environment: {}, flags: {} })
}

describe('examples', () => {
  it('are all known here', () => {
    expect(files.sort()).toEqual(Object.keys(promises).sort())
  })

  it.each(files)('%s is understood and keeps its promise', (name) => {
    const config = load(name)
    expect(config.warnings).toEqual([])
    promises[name]?.(config)
  })

  it.each(files)('%s grants only what a grant can be, and names itself in its commands', (name) => {
    const commands = [...readFileSync(`${folder}${name}`, 'utf8').matchAll(/^# {3}(postern .*)$/gm)].map(
      ([, command]) => command ?? '',
    )
    expect(commands.length).toBeGreaterThan(0)
    for (const command of commands) expect(command).toMatch(new RegExp(`--config ${name.replaceAll('.', '\\.')}$`))
    const grants = commands.flatMap((command) => [...command.matchAll(/--grant '([^']*)'/g)].map(([, text]) => text))
    for (const text of grants) expect(() => parseGrant(text ?? '')).not.toThrow()
  })

  it('s3-dropbox.env is an environment of s3-dropbox, locked', () => {
    const environment = parseEnv(readFileSync(`${folder}s3-dropbox.env`, 'utf8'))
    expect(isDropOnly(environment)).toBe(true)
    expect(dropboxEnvironment(environment)).toMatchObject({
      token: { sha256: environment['AUTH_TOKEN'] },
      lock: { header: 'X-CDN-Token', sha256: [environment['CDN_TOKEN']] },
      warnings: [],
    })
  })
})

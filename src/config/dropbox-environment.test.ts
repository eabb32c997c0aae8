import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from './load.js'

const hashOf = (text: string): string => createHash('sha256').update(text).digest('base64')
const auth = hashOf('client')
const cdn = hashOf('cdn')
const lockVariables = { CDN_TOKEN: cdn, CDN_TOKEN_HTTP_HEADER_NAME: 'X-CDN-Authorization' }
const invalid = expect.objectContaining({ kind: 'invalid' }) as unknown
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-dropbox-'))
})

afterEach(() => {
  rmSync(directory, { recursive: true })
})

const load = (environment: Readonly<Record<string, string>>, file?: string) => {
  if (file !== undefined) writeFileSync(join(directory, 'postern.yaml'), file)
  return loadConfig({ directory, environment, flags: {} })
}

const token = { name: 's3-dropbox', sha256: auth, grants: [] }

describe('the variables of s3-dropbox', () => {
  it('are not half a lock', () => {
    for (const half of [{ CDN_TOKEN: cdn }, { CDN_TOKEN_HTTP_HEADER_NAME: 'x-cdn' }])
      expect(() => load({ AUTH_TOKEN: auth, ...half })).toThrow(invalid)
    for (const wrong of ['plain', cdn.slice(1), `${cdn} `])
      expect(() => load({ AUTH_TOKEN: auth, ...lockVariables, CDN_TOKEN: wrong })).toThrow(invalid)
    expect(() => load({ AUTH_TOKEN: auth, ...lockVariables, CDN_TOKEN_HTTP_HEADER_NAME: 'Host' })).toThrow(
      expect.objectContaining({ message: expect.stringContaining('CDN_TOKEN_HTTP_HEADER_NAME') as string }),
    )
  })

  it('of another program change nothing, and no value of theirs is told', () => {
    const config = load({ AUTH_TOKEN: 'ghp_of_somebody_else' })
    expect(config.identity.map(({ kind }) => kind)).toEqual(['catalog'])
    expect(config.warnings).toEqual([expect.stringContaining('AUTH_TOKEN is not the hash of a token')])
    expect(config.warnings.join()).not.toContain('ghp_')
    expect(load(lockVariables).originLock).toBeUndefined()
    expect(load({ AUTH_TOKEN: '' }).identity).toHaveLength(1)
  })

  it('make the token known, without a right, and lock what has no configuration', () => {
    const config = load({ AUTH_TOKEN: auth, ...lockVariables })
    expect(config.identity.map(({ kind, settings }) => [kind, settings])).toEqual([
      ['catalog', {}],
      ['tokens', [token]],
    ])
    expect(config.originLock).toEqual({ header: 'X-CDN-Authorization', sha256: [cdn] })
    expect(load({ AUTH_TOKEN: auth }).originLock).toBeUndefined()
  })

  it('lock nothing that a configuration describes, and join its tokens', () => {
    const other = { name: 'sensor', sha256: hashOf('sensor'), grants: ['r:/**'] }
    const file = `identity: [{ tokens: [{ name: sensor, sha256: "${other.sha256}", grants: ["r:/**"] }] }, catalog]\n`
    const config = load({ AUTH_TOKEN: auth, ...lockVariables }, file)
    expect(config.identity.map(({ kind, settings }) => [kind, settings])).toEqual([
      ['tokens', [other, token]],
      ['catalog', {}],
    ])
    expect(config.originLock).toBeUndefined()
    expect(() => load({ AUTH_TOKEN: auth }, 'identity: catalog\n')).toThrow(/postern\.yaml:1: identity: must be a list/)
  })
})

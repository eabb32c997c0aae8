import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import { loadConfig } from './load.js'
import type { Config } from './load.js'
import { homeInTree } from './privsep-settings.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-config-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

function load(text: string, flag?: boolean): Config {
  writeFileSync(join(directory, 'postern.yaml'), text)
  return loadConfig({
    directory,
    environment: {},
    flags: { privsep: flag === undefined ? undefined : { flag: '--privsep', value: flag } },
  })
}

function problem(text: string, flag?: boolean): string {
  try {
    load(text, flag)
  } catch (error) {
    if (isFailure(error, 'invalid')) return error.message
    throw error
  }
  return 'none'
}

describe('privilege separation, wrongly configured', () => {
  it.each([
    ['privsep: maybe\n', 'postern.yaml:1: privsep: must be a group of keys'],
    ['\nprivsep:\n  umask: 022\n', 'postern.yaml:3: privsep.umask: must be'],
    ['privsep: { user: "a b" }\n', 'postern.yaml:1: privsep.user: must be the name of a Unix user'],
    ['privsep: { minimumUid: 0 }\n', 'postern.yaml:1: privsep.minimumUid: must be a whole number from 1'],
    ['privsep: { minimumUid: 9, maximumUid: 8 }\n', 'postern.yaml:1: privsep: minimumUid must not be above maximumUid'],
    ['privsep: { user: www, authUser: www }\n', 'postern.yaml:1: privsep: user and authUser must be two users'],
    ['privsep: { workers: { maximum: 1 } }\n', 'postern.yaml:1: privsep.workers.maximum: is not a setting'],
    ['root: "/home/{user}"\nstate: s\n', 'postern.yaml:1: root: {user} and {home} need privilege separation'],
    ['mounts:\n  - { path: /, local: "{home}" }\nstate: s\n', 'postern.yaml:2: mounts[0]: {user} and {home} need'],
    ['privsep: true\nroot: "{home}"\n', 'postern.yaml:2: root: there is a directory for each user, so say where'],
    ['mounts: [{ path: /, local: a, privsep: true }]\n', 'postern.yaml:1: mounts[0]: privsep is off'],
    [
      'privsep: true\nmounts: [{ path: /, local: "/home/{user}", privsep: false }]\nstate: s\n',
      'postern.yaml:2: mounts[0]: {user} and {home} need privilege separation',
    ],
    [
      'privsep: true\nmounts: [{ path: /, s3: "s3://b?region=r", privsep: true }]\n',
      'postern.yaml:2: mounts[0].privsep',
    ],
    [
      'identity: [{ htpasswd: { file: x, grants: [], unixUser: "../x" } }]\n',
      'unixUser: must be the name of a Unix user',
    ],
  ])('%j', (text, message) => {
    expect(problem(text)).toContain(message)
  })
})

describe('privilege separation, configured', () => {
  it('is off by default, and with false', () => {
    for (const text of ['', 'privsep: false\n']) {
      const { privsep, mounts } = load(text)
      expect(privsep).toBeUndefined()
      expect(mounts).toMatchObject([{ separated: false }])
    }
  })

  it('is turned on by a flag, a word or a group, and the flag leaves the group as it is', () => {
    for (const config of [load('', true), load('privsep: true\n'), load('privsep: {}\n')])
      expect(config.privsep).toEqual({
        user: undefined,
        authUser: undefined,
        records: join(directory, 'data.postern-records'),
        runtime: expect.stringMatching(/^\/run\/postern-[0-9a-f]{8}$/) as string,
        minimumUid: 1000,
        maximumUid: 60_000,
        allowedGroups: [],
        umask: 0o022,
        ticketSeconds: 900,
        workers: { max: 64, idleSeconds: 300, memoryBytes: 512 * 1024 * 1024 },
      })
    expect(load('privsep: { umask: "0007", workers: { memory: 1G } }\n', true).privsep).toMatchObject({
      umask: 0o007,
      workers: { max: 64, memoryBytes: 1024 ** 3 },
    })
  })

  it('separates every directory that does not say otherwise, and no bucket', () => {
    const { mounts } = load(
      'privsep: true\nmounts: [{ path: /, local: a }, { path: /b, local: b, privsep: false }, { path: /c, s3: "s3://bucket?region=r" }]\n',
    )
    expect(mounts.map((mount) => mount.kind === 'local' && mount.separated)).toEqual([true, false, false])
  })

  it('knows directories of users, and where they are at home in the tree', () => {
    const each = load('privsep: true\nroot: "/home/{user}"\nstate: s\n')
    expect(each.mounts).toMatchObject([{ directory: '/home/{user}', path: '/' }])
    expect(homeInTree(each.mounts, 'ann')).toBe('/ann')
    const below = load(
      'privsep: true\nstate: s\nmounts: [{ path: /, local: a }, { path: /home, local: "{home}/web/" }]\n',
    )
    expect(below.mounts).toMatchObject([{ directory: join(directory, 'a') }, { directory: '{home}/web' }])
    expect(homeInTree(below.mounts, 'ann')).toBe('/home/ann')
    for (const name of ['', '.', '..', 'a/b', 'a\0']) expect(homeInTree(below.mounts, name)).toBeUndefined()
    expect(homeInTree(load('', true).mounts, 'ann')).toBeUndefined()
  })
})

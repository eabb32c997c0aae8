import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import { commandUser, openAuditFile } from './audit-file.js'
import type { AuditFile } from './audit-file.js'

let state = ''
let now = 0
let opened: AuditFile[] = []
const troubles: unknown[] = []

beforeEach(() => {
  state = mkdtempSync(join(tmpdir(), 'postern-audit-'))
  now = 1_000_000
  troubles.length = 0
})

afterEach(() => {
  for (const file of opened) file.close()
  opened = []
  rmSync(state, { recursive: true })
})

function open(maxBytes?: number): AuditFile {
  const onTrouble = (error: unknown): number => troubles.push(error)
  const clock = { now: () => now }
  const file = openAuditFile({ state, clock, onTrouble, ...(maxBytes !== undefined && { maxBytes }) })
  opened.push(file)
  return file
}

const lines = (name = 'audit.log'): readonly string[] =>
  readFileSync(join(state, name), 'utf8').split('\n').slice(0, -1)
const login = (name: string) => ({ event: 'login', name, source: 'catalog', with: 'password' }) as const

it('is for its owner only, and follows no link', () => {
  open().write(login('alice'))
  expect(statSync(join(state, 'audit.log')).mode & 0o777).toBe(0o600)
  renameSync(join(state, 'audit.log'), join(state, 'elsewhere'))
  symlinkSync('elsewhere', join(state, 'audit.log'))
  expect(() => open()).toThrow(expect.toSatisfy((error: unknown) => isFailure(error, 'unavailable')) as Error)
})

it('has one line for an event, whatever a name holds', () => {
  open().write(login('a\n{"event":"forged"}\u2028'))
  expect(lines()).toHaveLength(1)
  expect(JSON.parse(lines()[0] ?? '')).toEqual({ time: '1970-01-01T00:16:40.000Z', ...login('a\n{"event":"forged"}\u2028') }) // prettier-ignore
})

it('says of a source that is down why, and no more of the error', () => {
  const cause = Object.assign(new Error('it cannot be reached'), { request: { password: 'hush' } })
  open().write({ event: 'source-unavailable', source: 'dynamodb', cause })
  expect(lines()[0]).toContain('"why":"it cannot be reached"')
  expect(lines()[0]).not.toContain('hush')
})

it('is shared by processes, follows who moves it away, and begins anew when it is full', () => {
  const [one, other] = [open(300), open(300)]
  one.write(login('a'))
  other.write(login('b'))
  expect(lines()).toHaveLength(2)
  renameSync(join(state, 'audit.log'), join(state, 'rotated'))
  now += 1000
  one.write(login('c'))
  other.write(login('d'))
  expect(lines()).toHaveLength(2)
  for (const name of ['e', 'f']) one.write(login(name))
  now += 1000
  other.write(login('g'))
  one.write(login('h'))
  expect(lines('audit.log.1')).toHaveLength(4)
  expect(lines()).toHaveLength(2)
})

it('refuses nobody when it cannot be written, and says so once', () => {
  const file = open()
  rmSync(join(state, 'audit.log'))
  mkdirSync(join(state, 'audit.log'))
  now += 1000
  file.write(login('a'))
  now += 1000
  file.write(login('b'))
  expect(troubles).toHaveLength(1)
  rmSync(join(state, 'audit.log'), { recursive: true })
  now += 1000
  file.write(login('c'))
  expect(existsSync(join(state, 'audit.log'))).toBe(true)
  expect(lines()).toHaveLength(1)
})

it('names who gives a command', () => {
  expect(commandUser({})).toMatch(/^command:\S/)
  expect(commandUser({ SUDO_USER: 'eve"\n' })).not.toContain('eve')
})

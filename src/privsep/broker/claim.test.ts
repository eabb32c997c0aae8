import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../store/native.js'
import { claim } from './claim.js'

describe.skipIf(loadNative() === undefined)('a directory', () => {
  let home: string
  let directory: string
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'claim-'))
    directory = join(home, 'd')
    mkdirSync(directory)
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  it('is taken by one alone, and by the next when that lets go', () => {
    const release = claim(directory, 'state')
    expect(() => claim(directory, 'state')).toThrow(`A server runs already with the state ${directory}.`)
    release()
    const next = claim(directory, 'state')
    // Once more does no harm.
    release()
    expect(() => claim(directory, 'state')).toThrow('A server runs already')
    next()
  })

  it('is not kept by programs that were started meanwhile', () => {
    const release = claim(directory, 'state')
    const listed = spawnSync('ls', ['-l', '/proc/self/fd'], { encoding: 'utf8' })
    expect(listed.stdout).not.toContain(directory)
    release()
  })

  it('does not belong to whoever takes another that stood in its place', () => {
    const release = claim(directory, 'state')
    renameSync(directory, join(home, 'old'))
    mkdirSync(directory)
    const own = claim(directory, 'state')
    own()
    release()
  })

  it('is the same by a link', () => {
    symlinkSync(directory, join(home, 'link'))
    const release = claim(join(home, 'link'), 'state')
    expect(() => claim(directory, 'state')).toThrow('A server runs already')
    release()
  })
})

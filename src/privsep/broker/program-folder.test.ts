import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { checkOrders, checkProgram } from './program-folder.js'

const isRoot = process.getuid?.() === 0

describe.skipIf(!isRoot)('the program of a broker (for root only)', () => {
  let home: string
  let program: string
  let file: string
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'program-'))
    program = join(home, 'a', 'program')
    file = join(program, 'lib', 'main.js')
    mkdirSync(join(program, 'lib'), { recursive: true })
    writeFileSync(file, '')
    for (const path of [home, join(home, 'a'), program, join(program, 'lib')]) chmodSync(path, 0o755)
    chmodSync(file, 0o644)
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  it('may not belong to others, nor any folder on its way', () => {
    for (const path of [file, join(program, 'lib'), program, join(home, 'a'), home]) {
      chownSync(path, 65534, 0)
      expect(() => checkProgram([program]), path).toThrow(path)
      chownSync(path, 0, 0)
    }
    expect(() => checkProgram([program])).not.toThrow()
  })

  it('may not be written to by others, nor any folder on its way', () => {
    for (const path of [file, join(program, 'lib'), program, join(home, 'a'), home]) {
      chownSync(path, 0, 65534)
      for (const mode of [0o777, 0o775, 0o757]) {
        chmodSync(path, mode)
        expect(() => checkProgram([program]), path).toThrow(path)
      }
      chownSync(path, 0, 0)
      chmodSync(path, 0o755)
    }
    expect(() => checkProgram([program])).not.toThrow()
  })

  it('may not be reached by a link of others, or lead to a place of theirs', () => {
    const theirs = join(home, 'theirs')
    mkdirSync(theirs, { mode: 0o755 })
    const link = join(theirs, 'link')
    symlinkSync(program, link)
    expect(() => checkProgram([link])).not.toThrow()
    chownSync(theirs, 65534, 65534)
    expect(() => checkProgram([link])).toThrow(theirs)
    writeFileSync(join(theirs, 'evil.js'), '')
    symlinkSync(join(theirs, 'evil.js'), join(program, 'lib', 'more.js'))
    expect(() => checkProgram([program])).toThrow(theirs)
  })

  it('is told what to do by a file that nobody else can change, though they need not read it', () => {
    for (const path of [file, join(program, 'lib'), home]) chmodSync(path, 0o700)
    const link = join(home, 'link')
    symlinkSync(file, link)
    for (const path of [file, link]) {
      expect(() => checkOrders(path)).not.toThrow()
      for (const at of [file, join(program, 'lib'), home]) {
        chmodSync(at, 0o722)
        expect(() => checkOrders(path), `${path} ${at}`).toThrow(at)
        chmodSync(at, 0o700)
        chownSync(at, 65534, 0)
        expect(() => checkOrders(path), `${path} ${at}`).toThrow(at)
        chownSync(at, 0, 0)
      }
    }
    expect(() => checkOrders(join(home, 'missing'))).toThrow('missing')
  })

  it('must be there, and readable for all users', () => {
    expect(() => checkProgram([join(home, 'missing')])).toThrow('missing')
    chmodSync(file, 0o640)
    expect(() => checkProgram([program])).toThrow(`chmod o+r ${file}`)
    chmodSync(file, 0o644)
    chmodSync(join(program, 'lib'), 0o750)
    expect(() => checkProgram([program])).toThrow('chmod o+rx')
  })

  it('must lie where all users get', () => {
    chmodSync(join(home, 'a'), 0o700)
    expect(() => checkProgram([program])).toThrow(join(home, 'a'))
  })
})

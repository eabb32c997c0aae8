import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { spawnSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { liveFile, type LiveFile } from './live-file.js'

interface Words {
  readonly words: readonly string[]
}

let folder: string
let file: string
let warnings: object[]
let live: LiveFile<Words>

/** Words between brackets; `!` is a line that counts for nothing; `~` at the end may not be the end. */
function parse(text: string) {
  if (text !== '' && !text.startsWith('[')) return { problems: [], unfinished: 'no bracket' }
  if (text.startsWith('[') && !text.trimEnd().endsWith(']')) return { problems: [], unfinished: 'one bracket' }
  const words = text.replace(/[[\]]/g, '').trim().split(' ')
  return {
    facts: { words },
    problems: words.includes('!') ? [{ line: 1, why: 'an exclamation mark' }] : [],
    ...(words.includes('~') && { unfinished: 'a tilde' }),
  }
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-live-'))
  file = join(folder, 'words')
  writeFileSync(file, '[one]')
  warnings = []
  live = liveFile({ file, maxBytes: 100, parse, warn: (facts, message) => warnings.push({ ...facts, message }) })
})

afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

/** As for a request that is read from the network later. */
async function words(): Promise<string> {
  await turn()
  return (await live.facts()).words.join(' ')
}

describe('a file that lets nobody in', () => {
  const cases: readonly (readonly [string, () => void])[] = [
    ['is gone', () => unlinkSync(file)],
    ['can be written by everybody', () => chmodSync(file, 0o666)],
    [
      'has become a directory',
      () => {
        unlinkSync(file)
        mkdirSync(file)
      },
    ],
    [
      'has become a pipe',
      () => {
        unlinkSync(file)
        expect(spawnSync('mkfifo', [file]).status).toBe(0)
      },
    ],
    [
      'has become a device',
      () => {
        unlinkSync(file)
        symlinkSync('/dev/zero', file)
      },
    ],
    [
      'has become a link to nothing',
      () => {
        unlinkSync(file)
        symlinkSync('nothing', file)
      },
    ],
    [
      'has become a link to itself',
      () => {
        unlinkSync(file)
        symlinkSync('words', file)
      },
    ],
  ]
  it.each(cases)('%s', async (_what, spoil) => {
    expect(await words()).toBe('one')
    spoil()
    await expect(words()).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(words()).rejects.toMatchObject({ kind: 'unavailable' })
    expect(warnings).toHaveLength(1)
    rmSync(file, { recursive: true, force: true })
    writeFileSync(file, '[two]')
    expect(await words()).toBe('two')
  })

  it.skipIf(process.getuid?.() === 0)('cannot be read', async () => {
    chmodSync(file, 0)
    await expect(words()).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('never made sense', async () => {
    writeFileSync(file, 'nonsense')
    await expect(words()).rejects.toMatchObject({ kind: 'unavailable' })
    writeFileSync(file, '[three]')
    expect(await words()).toBe('three')
  })
})

describe('what a file said before goes on', () => {
  it.each([
    ['while a save is half done', '[two'],
    ['when it makes no sense', 'nonsense'],
    ['when it is longer than it may be', `[${'x'.repeat(200)}]`],
  ])('%s', async (_what, text) => {
    expect(await words()).toBe('one')
    writeFileSync(file, text)
    expect(await words()).toBe('one')
    expect(await words()).toBe('one')
    expect(warnings).toHaveLength(1)
    writeFileSync(file, '[two]')
    expect(await words()).toBe('two')
  })

  it('until the rest of a slow save has come, for whom it matters', async () => {
    expect(await words()).toBe('one')
    writeFileSync(file, '')
    const asked = words()
    setTimeout(() => writeFileSync(file, '[two'), 30)
    setTimeout(() => appendFileSync(file, ']'), 60)
    expect(await asked).toBe('two')
    expect(warnings).toEqual([])
  })

  it('but not for longer than a moment where the new text can be the whole', async () => {
    expect(await words()).toBe('one')
    writeFileSync(file, '[two ~]')
    expect(await words()).toBe('two ~')
    writeFileSync(file, '')
    expect(await words()).toBe('')
  })

  it('while the file is made anew', async () => {
    expect(await words()).toBe('one')
    unlinkSync(file)
    const asked = words()
    setTimeout(() => writeFileSync(file, '[two]'), 30)
    expect(await asked).toBe('two')
  })
})

describe('every change counts for the very next request', () => {
  it('of the same size, in the same second, many times over', async () => {
    for (let round = 0; round < 300; round++) {
      const word = `w${round % 10}`
      writeFileSync(file, `[${word}]`)
      expect(await words()).toBe(word)
    }
  })

  it('with the times put back', async () => {
    utimesSync(file, 1, 1)
    expect(await words()).toBe('one')
    writeFileSync(file, '[two]')
    utimesSync(file, 1, 1)
    expect(await words()).toBe('two')
  })

  it('by another file in its place, or another target of a link', async () => {
    expect(await words()).toBe('one')
    writeFileSync(join(folder, 'next'), '[two]')
    renameSync(join(folder, 'next'), file)
    expect(await words()).toBe('two')
    writeFileSync(join(folder, 'a'), '[aaa]')
    writeFileSync(join(folder, 'b'), '[bbb]')
    unlinkSync(file)
    symlinkSync('a', file)
    expect(await words()).toBe('aaa')
    symlinkSync('b', join(folder, 'link'))
    renameSync(join(folder, 'link'), file)
    expect(await words()).toBe('bbb')
  })

  it('for many who ask at once', async () => {
    const all = await Promise.all(Array.from({ length: 50 }, () => live.facts()))
    expect(new Set(all).size).toBe(1)
  })
})

describe('what an owner is told', () => {
  it('lines that count for nothing, once', async () => {
    writeFileSync(file, '[! x]')
    expect(await words()).toBe('! x')
    expect(await words()).toBe('! x')
    expect(warnings).toEqual([
      { file, line: 1, why: 'an exclamation mark', message: 'a line of a file of identities counts for nothing' },
    ])
  })

  it('a secret that everybody can read', async () => {
    chmodSync(file, 0o644)
    live = liveFile({ file, maxBytes: 100, parse, secret: true, warn: (facts) => warnings.push(facts) })
    await words()
    expect(warnings).toEqual([{ file }])
  })
})

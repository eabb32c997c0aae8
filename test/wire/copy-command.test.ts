import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs' // prettier-ignore
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Finished, Server } from '../harness.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-copy-'))
})

afterEach(() => {
  rmSync(home, { recursive: true, force: true })
})

function copy(...args: readonly string[]): Promise<Finished> {
  return run(process.execPath, [program, 'copy', ...args], { cwd: home })
}

function put(path: string, text: string): void {
  mkdirSync(join(home, path, '..'), { recursive: true })
  writeFileSync(join(home, path), text)
}

function sample(): void {
  put('from/f', 'bytes')
  put('from/d/% \u{1F600} "quoted"\n', 'odd')
  put('from/d/empty', '')
  mkdirSync(join(home, 'from/d/e'))
  utimesSync(join(home, 'from/f'), 951_782_400, 951_782_400)
}

describe('postern copy', () => {
  it('helps, with examples', async () => {
    const { code, stdout } = await copy('--help')
    expect([code, stdout.includes('Usage: postern copy'), stdout.includes('Examples:')]).toEqual([0, true, true])
  })

  it.each([
    [['from'], 2, /missing required argument 'target'/],
    [['from', 'from/inner'], 2, /One of the two lies within the other/],
    [['from/d', 'from'], 2, /One of the two lies within the other/],
    [['link', 'from/d'], 2, /One of the two lies within the other/],
    [['from', '.'], 2, /One of the two lies within the other/],
    [['none', 'to'], 1, /There is no directory .*none/],
    [['from/f', 'to'], 1, /is not a directory/],
    [['from', 'file'], 1, /is not a directory/],
    [['from', 'ftp://host/x'], 2, /"ftp" is not known/],
    [['s3://b', 'to'], 2, /cannot be the name of a bucket|region/],
    [['s3://bucket/x?region=r1&what=1', 'to'], 2, /has no option what/],
    [['from', 's3://bucket/x'], 2, /region of the bucket is not known/],
    [['from', 'to', '--parallel', '0'], 2, /--parallel: must be a number from 1 to 128/],
    [['from', 'to', '--parallel', '1e3'], 2, /--parallel/],
    [['from', 'to', '--durability', 'some'], 2, /--durability: must be one of: full, fast/],
    [['from', 'to', '--state', 'x'], 2, /--state goes with one directory and one bucket/],
    [['s3://bucket/a?region=r1', 's3://bucket/a/b?region=r1'], 2, /One of the two lies within the other/],
  ])('%j is refused', async (args, wanted, message) => {
    sample()
    put('file', '')
    symlinkSync('from', join(home, 'link'))
    const before = await namesBelow(home)
    const { code, stderr, stdout } = await copy(...args)
    expect(stderr).toMatch(message)
    expect([code, stdout]).toEqual([wanted, ''])
    expect(await namesBelow(home)).toEqual(before)
  })

  it('copies a tree, and what has changed in it the next time', async () => {
    sample()
    const first = await copy('from', 'deep/to')
    expect(first.stdout).toMatch(/^Copied 3 files \(8 bytes\) to .*deep\/to in \d+ s\.\nMade 2 directories\.\n$/)
    expect([first.code, first.stderr]).toEqual([0, ''])
    expect(await namesBelow(join(home, 'deep/to'))).toEqual(await namesBelow(join(home, 'from')))
    expect(readFileSync(join(home, 'deep/to/d/% \u{1F600} "quoted"\n'), 'utf8')).toBe('odd')
    expect(Math.floor(statSync(join(home, 'deep/to/f')).mtimeMs)).toBe(951_782_400_000)

    put('from/f', 'other')
    put('deep/to/more/x', 'only there')
    const plan = await copy('from', 'deep/to', '--dry-run', '--delete')
    expect(plan.stdout.split('\n').slice(0, 2).sort()).toEqual(['copy /f', 'remove /more/'])
    expect(plan.stdout).toContain('Would copy 1 file (5 bytes)')
    expect(existsSync(join(home, 'deep/to/more/x'))).toBe(true)
    const second = await copy('from', 'deep/to', '--json')
    expect(JSON.parse(second.stdout)).toMatchObject({
      copied: 1,
      bytes: 5,
      same: 2,
      directories: 0,
      removed: 0,
      failed: 0,
      ended: 'done',
      failures: [],
    })
    expect(existsSync(join(home, 'deep/to/more/x'))).toBe(true)
    const third = await copy('from', 'deep/to', '--delete')
    expect(third.stdout).toContain('Removed 1 name that the source does not have.')
    expect(await namesBelow(join(home, 'deep/to'))).toEqual(await namesBelow(join(home, 'from')))
  })

  it('makes nothing for a dry run', async () => {
    sample()
    const { code, stdout } = await copy('from', 'to', '--dry-run')
    expect([code, stdout.includes('make /d/\n'), existsSync(join(home, 'to'))]).toEqual([0, true, false])
    // A name cannot write to the terminal.
    expect(stdout).toContain('copy "/d/% \u{1F600} \\"quoted\\"\\n"')
  })

  it('tells what failed, does the rest, and ends with 1', async () => {
    sample()
    put('to/f/in', 'a directory in the way')
    const { code, stdout } = await copy('from', 'to')
    expect(code).toBe(1)
    expect(stdout).toMatch(/failed: \/f: That is a directory\.\nCopied 2 files/)
    const told = await copy('from', 'to', '--json')
    expect(JSON.parse(told.stdout)).toMatchObject({
      failed: 1,
      same: 2,
      failures: [{ path: '/f', kind: 'is-directory' }],
    })
  })

  it('removes nothing where the source is empty', async () => {
    mkdirSync(join(home, 'from'))
    put('to/f', 'stays')
    const { code, stderr } = await copy('from', 'to', '--delete')
    expect([code, stderr]).toEqual([2, 'The source is empty: all of the target would be removed.\n'])
    expect(readFileSync(join(home, 'to/f'), 'utf8')).toBe('stays')
  })

  it.each(['SIGINT', 'SIGKILL'] as const)('after %s in the midst of it the next one does the rest', async (signal) => {
    const count = 1500
    for (let index = 0; index < count; index++) put(`from/${index % 7}/${index}`, `content of ${index}`)
    put('from/large', 'x'.repeat(30_000_000))
    const child = spawn(process.execPath, [program, 'copy', 'from', 'to', '--parallel', '2'], {
      cwd: home,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
    const ended = once(child, 'close')
    const there = async (): Promise<number> => (await readdir(join(home, 'to/0')).catch(() => [])).length
    await eventually('the first files', async () => (await there()) > 20)
    child.kill(signal)
    const [code] = (await ended) as [number | null]
    if (signal === 'SIGINT') {
      expect(stdout).toContain('Stopped. Nothing is half-written: the same command again goes on from here.')
      expect(code).toBe(1)
    }
    const names = (await readdir(join(home, 'to'), { recursive: true })).filter((name) => /^\d\/\d+$/.test(name))
    expect(names.length).toBeLessThan(count)
    for (const name of names) expect(readFileSync(join(home, 'to', name), 'utf8')).toBe(`content of ${name.slice(2)}`)

    const again = JSON.parse((await copy('from', 'to', '--json')).stdout) as { copied: number; same: number }
    expect(again.same).toBeGreaterThanOrEqual(names.length)
    expect(again.copied + again.same).toBe(count + 1)
    const whole = await namesBelow(join(home, 'to'))
    // What the killed one was writing is too young to be swept by one that begins at once; a server shows none of it.
    expect(whole.filter((name) => !/(?:^|\/)\.postern-write-[^/]+$/.test(name))).toEqual(
      await namesBelow(join(home, 'from')),
    )
    expect(readFileSync(join(home, 'to/large')).equals(readFileSync(join(home, 'from/large')))).toBe(true)
  })

  it('takes the attributes of served files along, where both directories have a state', async () => {
    const serve = (name: string): Promise<Server> =>
      startServer({ root: join(home, name), args: ['--state', join(home, `${name}.postern`)] })
    await using server = await serve('one')
    await using other = await serve('two')
    const type = 'application/x-of-its-own'
    await server.request('PUT', '/f.txt', { body: 'x', headers: { 'Content-Type': type } })
    const { code, stdout } = await copy(server.root, other.root)
    expect([code, stdout]).toEqual([0, expect.stringContaining('Copied 1 file')])
    const answer = await other.request('GET', '/f.txt')
    expect(answer.header('content-type')).toBe(type)
  })
})

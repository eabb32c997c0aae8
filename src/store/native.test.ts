import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { constants as system, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DirectoryCalls, fact, factsLength, loadNative } from './native.js'
import { procCalls } from './proc-calls.js'

const { errno } = system
const { O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_DIRECTORY } = constants

const ways = Object.entries({ addon: loadNative(), proc: procCalls() }).filter(
  (way): way is [string, DirectoryCalls] => way[1] !== undefined,
)

let root: string
let directory: number

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-calls-'))
  directory = openSync(root, O_RDONLY | O_DIRECTORY)
})

afterEach(() => {
  closeSync(directory)
  rmSync(root, { recursive: true })
})

describe.runIf(loadNative() !== undefined)('putSmall', () => {
  const facts = new Float64Array(factsLength)
  const put = (name: string, text: string, replaced?: Float64Array): number =>
    loadNative()?.putSmall?.(directory, 'staged', name, Buffer.from(text), 1234, 5678, replaced, facts) ?? 1

  it('takes a free name only, and says what was made', () => {
    expect(put('f', 'first')).toBe(0)
    expect([facts[fact.kind], facts[fact.size], facts[fact.modifiedSeconds], facts[fact.modifiedNanoseconds]]).toEqual([
      1, 5, 1234, 5678,
    ])
    expect(put('f', 'second')).toBe(-errno.EEXIST)
    symlinkSync('elsewhere', join(root, 'link'))
    expect(put('link', 'x')).toBe(-errno.EEXIST)
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('first')
    expect(readdirSync(root).toSorted()).toEqual(['f', 'link'])
  })

  it('dresses what it puts over another file like that, and never puts it over a directory', () => {
    writeFileSync(join(root, 'f'), 'old', { mode: 0o640 })
    mkdirSync(join(root, 'd'))
    const replaced = new Float64Array(factsLength)
    loadNative()?.statAt(directory, 'f', replaced)
    expect(put('f', '', replaced)).toBe(0)
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('')
    expect(facts[fact.mode]).toBe(0o640)
    expect(put('d', 'x', replaced)).toBe(-errno.EISDIR)
    expect(readdirSync(root).toSorted()).toEqual(['d', 'f'])
  })

  it('does nothing where the staged name is taken, or a name or a directory is none', () => {
    writeFileSync(join(root, 'staged'), 'of another')
    expect(put('f', 'x')).toBe(-errno.EEXIST)
    expect(readFileSync(join(root, 'staged'), 'utf8')).toBe('of another')
    expect(put('a\0b', 'x')).toBe(-errno.ENAMETOOLONG)
    expect(loadNative()?.putSmall?.(-1, 's', 'f', Buffer.from('x'), 1, 1, undefined, facts)).toBe(-errno.EBADF)
    expect(readdirSync(root)).toEqual(['staged'])
  })
})

describe.runIf(loadNative() !== undefined)('readSmall', () => {
  const facts = new Float64Array(factsLength)
  const buffer = Buffer.alloc(8)
  const read = (path: string): number | string => {
    const size = loadNative()?.readSmall?.(directory, path, facts, buffer) ?? -errno.ENOSYS
    return size < 0 ? size : buffer.toString('utf8', 0, size)
  }

  it('reads what fits, and nothing but files', () => {
    mkdirSync(join(root, 'a/b'), { recursive: true })
    writeFileSync(join(root, 'f'), 'top')
    writeFileSync(join(root, 'a/b/f'), '12345678')
    writeFileSync(join(root, 'a/big'), '123456789')
    writeFileSync(join(root, 'empty'), '')
    execFileSync('mkfifo', [join(root, 'pipe')])
    expect(read('f')).toBe('top')
    expect([facts[fact.kind], facts[fact.size]]).toEqual([1, 3])
    expect(read('a/b/f')).toBe('12345678')
    expect(read('empty')).toBe('')
    expect(read('a/big')).toBe(-errno.EFBIG)
    expect(read('a/b')).toBe(-errno.ENXIO)
    expect(read('pipe')).toBe(-errno.ENXIO)
    expect(read('a/none')).toBe(-errno.ENOENT)
    expect(read('none/f')).toBe(-errno.ENOENT)
    expect(read('f/f')).toBe(-errno.ENOTDIR)
    expect(typeof read('')).toBe('number')
  })

  it('goes through no link and never out of the root', () => {
    mkdirSync(join(root, 'in'))
    writeFileSync(join(root, 'in/f'), 'x')
    symlinkSync('f', join(root, 'in/link'))
    symlinkSync('in', join(root, 'dir'))
    symlinkSync('/etc', join(root, 'etc'))
    expect(read('in/link')).toBe(-errno.ENXIO)
    expect(read('dir/f')).toBe(-errno.ELOOP)
    expect(read('etc/hostname')).toBe(-errno.ELOOP)
    expect(read('../../etc/hostname')).toBe(-errno.EXDEV)
    expect(read('/etc/hostname')).toBe(-errno.EXDEV)
  })
})

describe.runIf(loadNative()?.syncFiles !== undefined)('syncFiles', () => {
  it('syncs each, and says which could not be', async () => {
    const fds = ['a', 'b'].map((name) => openSync(join(root, name), O_RDWR | O_CREAT))
    for (const fd of fds) writeSync(fd, 'x')
    const pipe = join(root, 'pipe')
    execFileSync('mkfifo', [pipe])
    const odd = openSync(pipe, O_RDWR)
    const results = await loadNative()?.syncFiles?.(Int32Array.from([fds[0] ?? -1, odd, 987_654, fds[1] ?? -1]))
    expect(Array.from(results as Int32Array)).toEqual([0, -errno.EINVAL, -errno.EBADF, 0])
    for (const fd of [...fds, odd]) closeSync(fd)
    expect(loadNative()?.syncFiles?.(new Int32Array(0))).toBe(-errno.EINVAL)
  })
})

describe.each(ways)('calls by %s', (name, calls) => {
  const facts = new Float64Array(factsLength)

  it('follows no link', () => {
    symlinkSync('/etc/passwd', join(root, 'link'))
    symlinkSync('/etc', join(root, 'dir'))
    expect(calls.openAt(directory, 'link', O_RDONLY, 0)).toBe(-errno.ELOOP)
    expect(calls.openAt(directory, 'link', O_WRONLY | O_CREAT, 0o666)).toBe(-errno.ELOOP)
    expect([-errno.ELOOP, -errno.ENOTDIR]).toContain(calls.openAt(directory, 'dir', O_RDONLY | O_DIRECTORY, 0))
    expect(calls.statAt(directory, 'link', facts)).toBe(0)
    expect(facts[fact.kind]).toBe(3)
    expect(calls.readlinkAt(directory, 'link')).toBe('/etc/passwd')
    expect(calls.readlinkAt(directory, 'none')).toBe(-errno.ENOENT)
  })

  it('stays with a directory that is moved', () => {
    mkdirSync(join(root, 'd'))
    const d = calls.openAt(directory, 'd', O_RDONLY | O_DIRECTORY, 0)
    calls.renameAt(directory, 'd', directory, 'e', false)
    const fd = calls.openAt(d, 'f', O_WRONLY | O_CREAT | O_EXCL, 0o600)
    writeSync(fd, 'x')
    closeSync(fd)
    closeSync(d)
    expect(readFileSync(join(root, 'e', 'f'), 'utf8')).toBe('x')
  })

  it('renames without replacing', () => {
    for (const file of ['a', 'b']) writeFileSync(join(root, file), file)
    for (const made of ['c', 'd']) mkdirSync(join(root, made))
    for (const [from, to] of [
      ['a', 'b'],
      ['a', 'c'],
      ['c', 'a'],
      ['c', 'd'],
    ] as const)
      expect(calls.renameAt(directory, from, directory, to, true)).toBe(-errno.EEXIST)
    expect(calls.renameAt(directory, 'a', directory, 'new', true)).toBe(0)
    expect(calls.renameAt(directory, 'c', directory, 'newdir', true)).toBe(0)
    expect(calls.renameAt(directory, 'none', directory, 'x', true)).toBe(-errno.ENOENT)
    expect(calls.renameAt(directory, 'new', directory, 'b', false)).toBe(0)
    expect(readFileSync(join(root, 'b'), 'utf8')).toBe('a')
  })

  it('sets times that it tells again, before the epoch too', () => {
    const fd = calls.openAt(directory, 'f', O_RDWR | O_CREAT, 0o600)
    for (const [seconds, microseconds] of [
      [1_700_000_000, 123_456],
      [1_700_000_000, 1],
      [0, 999_999],
      [5_000_000_000, 3],
    ] as const) {
      expect(calls.touch(fd, seconds, microseconds * 1000)).toBe(0)
      expect(calls.fstat(fd, facts)).toBe(0)
      expect(facts[fact.modifiedSeconds]).toBe(seconds)
      expect(Math.floor((facts[fact.modifiedNanoseconds] ?? 0) / 1000)).toBe(microseconds)
    }
    closeSync(fd)
  })

  it('reads a directory to its end, and looks at many', () => {
    const names = Array.from({ length: 1500 }, (_, index) => `${index}-${'n'.repeat(100)}`)
    for (const each of names) writeFileSync(join(root, each), each)
    mkdirSync(join(root, 'd'))
    const listed = calls.openAt(directory, '.', O_RDONLY | O_DIRECTORY, 0)
    const found: string[] = []
    for (let first = true; ; first = false) {
      const some = calls.readdir(listed, first)
      if (typeof some === 'number' || some === '') break
      const each = some.split('/')
      const kinds = each.pop() ?? ''
      found.push(...each)
      expect(kinds).toMatch(/^[012]+$/)
      expect(kinds).toHaveLength(each.length)
      if (kinds.includes('2')) expect(each[kinds.indexOf('2')]).toBe('d')
    }
    closeSync(listed)
    expect(found.sort()).toEqual([...names, 'd'].sort())
    const many = new Float64Array(4 * factsLength)
    calls.statMany(directory, ['skipped', names[3]!, 'd', 'gone', names[4]!], 1, 4, many)
    expect([0, 1, 2, 3].map((i) => many[i * factsLength + fact.kind])).toEqual([1, 2, 0, 1])
    expect(many[fact.size]).toBe(names[3]!.length)
  })

  it('copies ranges, and keeps holes where the addon does it', async () => {
    writeFileSync(join(root, 'from'), 'head')
    truncateSync(join(root, 'from'), 64 * 1024 * 1024)
    const from = calls.openAt(directory, 'from', O_RDWR, 0)
    writeSync(from, 'tail', 64 * 1024 * 1024 - 4)
    const to = calls.openAt(directory, 'to', O_RDWR | O_CREAT, 0o600)
    expect(await calls.copyRange(from, 0, to, 0, 64 * 1024 * 1024)).toBe(64 * 1024 * 1024)
    expect(await calls.copyRange(from, 64 * 1024 * 1024 - 2, to, 64 * 1024 * 1024, 100)).toBe(2)
    const copy = readFileSync(join(root, 'to'))
    expect(copy.subarray(0, 5).toString()).toBe('head\0')
    expect(copy.subarray(-7).toString()).toBe('\0tailil')
    expect(await calls.copyRange(from, 0, directory, 0, 10)).toBeLessThan(0)
    closeSync(from)
    closeSync(to)
  })

  it.runIf(name === 'addon')('locks between open files', () => {
    writeFileSync(join(root, 'f'), '')
    const [one, other] = [1, 2].map(() => calls.openAt(directory, 'f', O_RDONLY, 0)) as [number, number]
    expect(calls.flock(one, true)).toBe(0)
    expect(calls.flock(other, true)).toBe(-errno.EWOULDBLOCK)
    expect(calls.flock(one, false)).toBe(0)
    expect(calls.flock(other, true)).toBe(0)
    closeSync(one)
    closeSync(other)
  })

  it.runIf(name === 'addon')('refuses names that are cut short or hold a NUL, and room that is too small', () => {
    writeFileSync(join(root, 'f'), '')
    expect(calls.openAt(directory, 'f\0x', O_RDONLY, 0)).toBe(-errno.ENAMETOOLONG)
    expect(calls.openAt(directory, 'n'.repeat(5000), O_RDONLY, 0)).toBe(-errno.ENAMETOOLONG)
    expect(calls.statAt(directory, 'f', new Float64Array(3))).toBe(-errno.EINVAL)
    expect(calls.statMany(directory, ['f', 'f'], 0, 2, facts)).toBe(-errno.EINVAL)
  })

  it.runIf(name === 'addon')('opens nothing outside and nothing by a link in one call', () => {
    mkdirSync(join(root, 'd'))
    symlinkSync('d', join(root, 'link'))
    for (const path of ['..', '../x', '/etc', 'd/../..', 'link', 'link/.', 'd/../link'])
      expect(calls.openBeneath(directory, path, O_RDONLY)).toBeLessThan(0)
    const fd = calls.openBeneath(directory, 'd/../d', O_RDONLY)
    expect(fd).toBeGreaterThan(0)
    closeSync(fd)
  })
})

it.runIf(ways.length === 2)('tells the same by either way', () => {
  writeFileSync(join(root, 'f'), 'content')
  const [one, other] = ways.map(([, calls]) => {
    const facts = new Float64Array(factsLength)
    calls.statAt(directory, 'f', facts)
    return [...facts]
  })
  expect(one).toEqual(other)
})

import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { constants as system, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { Beneath } from './beneath.js'
import { fact, factsLength, loadNative } from './native.js'

const { errno } = system
const p = toPath

let base: string
let root: string

beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'postern-beneath-'))
  root = join(base, 'root')
  mkdirSync(join(root, 'd', 'e'), { recursive: true })
  mkdirSync(join(base, 'outside'))
  writeFileSync(join(base, 'outside', 'secret'), 'secret')
  writeFileSync(join(root, 'f'), 'f')
  writeFileSync(join(root, 'd', 'e', 'g'), 'g')
})

afterEach(() => rmSync(base, { recursive: true, force: true }))

for (const native of loadNative() === undefined ? [false] : [true, false])
  describe(native ? 'with the addon' : 'without the addon', () => {
    const opened: Beneath[] = []

    afterEach(() => {
      for (const beneath of opened.splice(0)) beneath.close()
    })

    function open(symlinks: 'absent' | 'inside'): Beneath {
      const beneath = new Beneath({ root, symlinks, native })
      opened.push(beneath)
      return beneath
    }

    function textAt(beneath: Beneath, path: string): string | number {
      const fd = beneath.open(p(path), constants.O_RDONLY)
      if (fd < 0) return fd
      try {
        return readFileSync(fd, 'utf8')
      } finally {
        closeSync(fd)
      }
    }

    it.each(['/out/secret', '/up/outside/secret', '/d/out/secret', '/secret', '/absolute'])(
      'never leaves the root by %s, whatever links are allowed',
      (path) => {
        symlinkSync(join(base, 'outside'), join(root, 'out'))
        symlinkSync('..', join(root, 'up'))
        symlinkSync('../../outside', join(root, 'd', 'out'))
        symlinkSync('../outside/secret', join(root, 'secret'))
        symlinkSync('/etc/passwd', join(root, 'absolute'))
        for (const symlinks of ['absent', 'inside'] as const) {
          const beneath = open(symlinks)
          expect(textAt(beneath, path)).toBeLessThan(0)
          const place = beneath.place(p(`${path}/new`), true)
          if (typeof place !== 'number') closeSync(place.directory)
          expect(place).toBeLessThan(0)
        }
      },
    )

    it('does not take a link that comes out at the root of another name for inside', () => {
      mkdirSync(join(base, 'root-other'))
      writeFileSync(join(base, 'root-other', 'f'), 'other')
      symlinkSync(join(base, 'root-other'), join(root, 'other'))
      expect(textAt(open('inside'), '/other/f')).toBeLessThan(0)
    })

    it('follows links that stay inside where that is wanted, relative and absolute, and no others', () => {
      symlinkSync('d', join(root, 'link'))
      symlinkSync('link/e/../e', join(root, 'again'))
      symlinkSync(join(root, 'd', 'e'), join(root, 'absolute'))
      symlinkSync('../f', join(root, 'd', 'back'))
      for (const path of ['/link/e/g', '/again/g', '/absolute/g', '/link/e/g']) {
        expect([path, textAt(open('inside'), path)]).toEqual([path, 'g'])
        expect([path, typeof textAt(open('absent'), path)]).toEqual([path, 'number'])
      }
      expect(textAt(open('inside'), '/d/back')).toBe('f')
    })

    it('gives up on loops', () => {
      symlinkSync('b', join(root, 'a'))
      symlinkSync('a', join(root, 'b'))
      symlinkSync('self/x', join(root, 'self'))
      for (const path of ['/a', '/a/x', '/self', '/self/x']) expect(textAt(open('inside'), path)).toBeLessThan(0)
    })

    it('finds names in other Unicode forms, on the way and at the end', () => {
      mkdirSync(join(root, 'e\u0301'))
      writeFileSync(join(root, 'e\u0301', 'o\u0308u\u0308'), 'decomposed')
      writeFileSync(join(root, 'e\u0301', '\u00f6a\u0308'), 'mixed')
      const beneath = open('absent')
      expect(textAt(beneath, '/\u00e9/\u00f6\u00fc')).toBe('decomposed')
      expect(textAt(beneath, '/\u00e9/\u00f6\u00e4')).toBe('mixed')
      expect(textAt(beneath, '/\u00e9/\u00f6\u00eb')).toBe(-errno.ENOENT)
      writeFileSync(join(root, 'e\u0301', '\u00f6\u00fc'), 'composed')
      expect(textAt(beneath, '/\u00e9/\u00f6\u00fc')).toBe('composed')
    })

    it('leaves no descriptor open, whatever it meets', () => {
      symlinkSync('d', join(root, 'link'))
      symlinkSync('/etc', join(root, 'etc'))
      execFileSync('mkfifo', [join(root, 'fifo')])
      const facts = new Float64Array(factsLength)
      const before = openDescriptors()
      for (const symlinks of ['absent', 'inside'] as const) {
        const beneath = new Beneath({ root, symlinks, native })
        for (const path of [
          '/',
          '/f',
          '/d/e/g',
          '/none',
          '/f/x',
          '/link/e/g',
          '/etc/passwd',
          '/\u00e9/\u00f6\u00e4',
          '/fifo',
        ]) {
          beneath.stat(p(path), facts)
          const place = path === '/' ? -1 : beneath.place(p(path), true)
          if (typeof place !== 'number') closeSync(place.directory)
          beneath.blame(p(path), -errno.ENOENT)
          const fd = beneath.open(p(path), constants.O_RDONLY | constants.O_NONBLOCK)
          if (fd >= 0) closeSync(fd)
        }
        beneath.close()
      }
      expect(openDescriptors()).toBe(before)
    })

    it('is unavailable while the root is away, and works again when it is back or another is there', () => {
      const beneath = open('absent')
      const facts = new Float64Array(factsLength)
      rmSync(root, { recursive: true })
      for (const path of ['/', '/f', '/d/e/g']) expect(() => beneath.stat(p(path), facts)).toThrow(unavailable)
      expect(() => beneath.blame(p('/new'), -errno.ENOENT)).toThrow(unavailable)
      mkdirSync(root)
      writeFileSync(join(root, 'n'), 'new')
      expect(textAt(beneath, '/n')).toBe('new')
      renameSync(root, root + '-away')
      mkdirSync(root)
      writeFileSync(join(root, 'm'), 'newer')
      expect(textAt(beneath, '/m')).toBe('newer')
      expect(beneath.stat(p('/'), facts)).toBe(0)
      expect(facts[fact.kind]).toBe(2)
    })

    it('opens nothing after it was closed', () => {
      const beneath = new Beneath({ root, symlinks: 'absent', native })
      beneath.close()
      expect(textAt(beneath, '/f')).toBe(-errno.EBADF)
    })

    it('needs a root', () => {
      expect(() => new Beneath({ root: join(base, 'none'), symlinks: 'absent', native })).toThrow(unavailable)
      expect(() => new Beneath({ root: join(root, 'f'), symlinks: 'absent', native })).toThrow(unavailable)
    })
  })

const unavailable = expect.toSatisfy((error: unknown) => isFailure(error, 'unavailable')) as Error

function openDescriptors(): number {
  return readdirSync(process.platform === 'linux' ? '/proc/self/fd' : '/dev/fd').length
}

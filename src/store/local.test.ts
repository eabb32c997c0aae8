import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Failure, type FailureKind, isFailure } from '../core/failure.js'
import { isFileRange } from '../core/http.js'
import { toPath } from '../core/path.js'
import { memoryNotes } from './local/notes.js'
import { type LocalOptions, type LocalStore, openLocalStore } from './local.js'
import { loadNative } from './native.js'
import type { Entry } from './store.js'

const p = toPath
const mebibyte = 1024 * 1024

let root: string
let stores: LocalStore[]

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-local-'))
  stores = []
})

afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()))
  rmSync(root, { recursive: true, force: true })
})

async function open(options: Partial<LocalOptions> = {}): Promise<LocalStore> {
  const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent', ...options })
  stores.push(store)
  return store
}

for (const native of loadNative() === undefined ? [false] : [true, false])
  describe(native ? 'with the addon' : 'without the addon', () => {
    it('leaves nothing behind when a large upload is given up, breaks, or is refused at the end', async () => {
      const store = await open({ native })
      await store.write(p('/f'), body('old'))
      const control = new AbortController()
      const stalled = store.write(
        p('/f'),
        (async function* () {
          for (let i = 0; i < 3; i++) yield Buffer.alloc(mebibyte)
          await until(() => leftovers(root).length === 1)
          control.abort()
          await new Promise(() => undefined)
        })(),
        { signal: control.signal },
      )
      expect(await kindOf(stalled)).toBe('incomplete')
      const broken = new Error('broken')
      await expect(
        store.write(
          p('/new/deep/f'),
          (async function* () {
            yield Buffer.alloc(3 * mebibyte)
            throw broken
          })(),
          { parents: true },
        ),
      ).rejects.toBe(broken)
      const refuse = async (): Promise<void> => {
        throw new Failure('bad-digest', 'no')
      }
      expect(await kindOf(store.write(p('/f'), body(Buffer.alloc(mebibyte)), { beforeCommit: refuse }))).toBe(
        'bad-digest',
      )
      expect(await kindOf(store.write(p('/x/f'), body('small'), { beforeCommit: refuse, parents: true }))).toBe(
        'bad-digest',
      )
      expect(readdirSync(root)).toEqual(['f'])
      expect(readFileSync(join(root, 'f'), 'utf8')).toBe('old')
    })

    it.runIf(process.platform === 'linux')('leaves no descriptor open', async () => {
      const store = await open({ native, durability: 'full' })
      await store.sweep()
      const before = readdirSync('/proc/self/fd').length
      for (let round = 0; round < 3; round++) {
        await store.write(p('/a/b/f'), body('x'), { parents: true })
        await store.write(p('/a/b/big'), body(Buffer.alloc(5 * mebibyte)), { parents: true })
        // So big that its bytes are freed elsewhere: replaced, moved over, removed.
        await store.copy(p('/a/b/big'), p('/a/other'), { overwrite: true })
        await store.move(p('/a/other'), p('/a/b/big'), { overwrite: true })
        await store.write(p('/a/gone'), body(Buffer.alloc(5 * mebibyte)))
        await store.remove(p('/a/gone'))
        await kindOf(store.write(p('/a/b'), body('x')))
        await kindOf(store.write(p('/none/f'), body('x')))
        await kindOf(store.write(p('/a/b/f/g'), body('x'), { parents: true }))
        await kindOf(store.write(p('/a/b/f'), body('x'), { ifNoneMatch: '*' }))
        await (await store.open(p('/a/b/f'))).close()
        const content = await store.open(p('/a/b/f'))
        const bytes = content.bytes()
        if (isFileRange(bytes)) bytes.close()
        await content.close()
        await kindOf(store.open(p('/a/b/f'), { ifMatch: ['no'] }))
        await kindOf(store.open(p('/a')))
        await store.copy(p('/a/b/f'), p('/a/g'), { overwrite: true })
        await store.copy(p('/a/b/big'), p('/a/big'), { overwrite: true })
        await store.move(p('/a/g'), p('/a/b/h'), { overwrite: true })
        await kindOf(store.move(p('/a/none'), p('/a/b/h'), { overwrite: true }))
        await kindOf(store.copy(p('/a/b/f'), p('/a/b/h'), { overwrite: false }))
        await store.change(p('/a/b/f'), { modified: 1000, executable: true })
        await store.assemble(p('/a/p'), [{ from: p('/a/b/f'), range: { start: 0, end: 1 } }, { body: body('y') }])
        await kindOf(store.assemble(p('/a/p'), [{ from: p('/a/b/f'), range: { start: 0, end: 9 } }]))
        expect((await all(store.list(p('/'), { depth: 'infinity' }))).length).toBeGreaterThan(0)
        for await (const batch of store.list(p('/'), { depth: 'infinity' })) if (batch.length > 0) break
        for await (const batch of store.list(p('/'), { depth: 'infinity', order: 'key' })) if (batch.length > 0) break
        for await (const batch of store.list(p('/'), { depth: 'infinity', order: 'key' })) expect(batch).toBeDefined()
        await store.makeDirectory(p(`/d${round}`))
        await store.remove(p(`/d${round}`))
        await store.moveTree(p('/a/b'), p('/c'))
        await store.moveTree(p('/c'), p('/a/b'))
      }
      await store.removeTree(p('/a'))
      await until(() => readdirSync('/proc/self/fd').length <= before && readdirSync(root).length === 0)
    })

    it('keeps permission bits of what it replaces, and gives a copy those of its source', async () => {
      const store = await open({ native })
      writeFileSync(join(root, 'private'), 'x')
      chmodSync(join(root, 'private'), 0o600)
      await store.write(p('/private'), body('y'))
      expect(statSync(join(root, 'private')).mode & 0o7777).toBe(0o600)
      await store.copy(p('/private'), p('/copy'), { overwrite: false })
      expect(statSync(join(root, 'copy')).mode & 0o7777).toBe(0o600)
      await store.write(p('/script'), body('y'), { executable: true })
      await store.copy(p('/script'), p('/copy'), { overwrite: true })
      expect(statSync(join(root, 'copy')).mode & 0o7777).toBe(0o700)
      chmodSync(join(root, 'script'), 0o6755)
      await store.write(p('/script'), body('z'))
      expect(statSync(join(root, 'script')).mode & 0o7777).toBe(0o755)
    })

    it('writes a new file, never into one that has other names', async () => {
      const store = await open({ native })
      writeFileSync(join(root, 'one'), 'shared')
      linkSync(join(root, 'one'), join(root, 'other'))
      await store.write(p('/one'), body('new'))
      expect(readFileSync(join(root, 'other'), 'utf8')).toBe('shared')
    })

    it('moves a hard link onto the other name of its file', async () => {
      const store = await open({ native })
      writeFileSync(join(root, 'one'), 'shared')
      linkSync(join(root, 'one'), join(root, 'other'))
      await store.move(p('/one'), p('/other'), { overwrite: true })
      expect(readdirSync(root)).toEqual(['other'])
    })

    it('removes a directory that holds nothing but what others left in the middle of their work', async () => {
      const store = await open({ native })
      mkdirSync(join(root, 'd'))
      writeFileSync(join(root, 'd', '.postern-write-0123456789abcdef'), 'x')
      await store.remove(p('/d'))
      expect(await store.stat(p('/d'))).toBeUndefined()
      await store.close()
      expect(readdirSync(root)).toEqual([])
    })

    it('sweeps only what bears its own marks', async () => {
      const store = await open({ native })
      mkdirSync(join(root, '.postern-trash-0123456789abcdef', 'd'), { recursive: true })
      mkdirSync(join(root, 'e\u0301'))
      mkdirSync(join(root, 'e\u0301', '.postern-trash-0123456789abcdef0'))
      mkdirSync(join(root, '.postern-state'))
      writeFileSync(join(root, '.postern-state', 'kept'), 'x')
      writeFileSync(join(root, '.postern-write-'), 'kept')
      writeFileSync(join(root, '.postern-write-0123456789abcdef'), 'young: without locks it may be in use')
      symlinkSync('/etc', join(root, '.postern-trash-0123456789abcdef1'))
      expect(await store.sweep()).toBe(native ? 3 : 2)
      expect(readdirSync(root).sort()).toEqual(
        [
          '.postern-state',
          '.postern-trash-0123456789abcdef1',
          '.postern-write-',
          ...(native ? [] : ['.postern-write-0123456789abcdef']),
          'e\u0301',
        ].sort(),
      )
      expect(readdirSync('/etc').length).toBeGreaterThan(0)
    })

    it('lists one name for two that mean the same, the composed one, and no name that nobody can ask for', async () => {
      const store = await open({ native })
      writeFileSync(join(root, 'e\u0301'), 'decomposed, longer')
      writeFileSync(join(root, '\u00e9'), 'composed')
      writeFileSync(Buffer.concat([Buffer.from(root + '/'), Buffer.from([0xff, 0xfe])]), 'no UTF-8')
      const found = await all(store.list(p('/')))
      expect(found.map(({ path, size }) => [path, size])).toEqual([['/\u00e9', 8]])
    })

    it('remembers digests and attributes across opening again and moving, until the file changes', async () => {
      const notes = memoryNotes()
      const attributes = { 'content-type': 'text/plain' }
      const first = await open({ native, notes })
      await first.write(p('/f'), body('content'), { attributes, digests: ['md5'] })
      await first.move(p('/f'), p('/g'), { overwrite: false })
      const store = await open({ native, notes })
      const md5 = Buffer.from('9a0364b9e99bb480dd25e1f0284c8555', 'hex')
      expect(await store.stat(p('/g'))).toMatchObject({ attributes, digests: { md5: new Uint8Array(md5) } })
      await store.change(p('/g'), { executable: true })
      expect(await store.stat(p('/g'))).toMatchObject({ attributes, digests: { md5: new Uint8Array(md5) } })
      // Another program: same size, then a time of modification put back.
      const { mtime, atime } = statSync(join(root, 'g'))
      writeFileSync(join(root, 'g'), 'CONTENT')
      expect((await store.stat(p('/g')))?.digests).toBeUndefined()
      expect((await store.stat(p('/g')))?.attributes).toBeUndefined()
      utimesSync(join(root, 'g'), atime, mtime)
      expect((await store.stat(p('/g')))?.digests).toBeUndefined()
    })

    it('forgets what it has noted of files that are gone or never came', async () => {
      const kept = new Map<string, Uint8Array>()
      const notes = {
        get: async (key: string) => kept.get(key),
        put: async (key: string, value: Uint8Array) => void kept.set(key, value),
        forget: async (key: string) => void kept.delete(key),
      }
      const store = await open({ native, notes })
      const write = (path: string): Promise<unknown> =>
        store.write(p(path), body('x'), { digests: ['sha256'], parents: true })
      for (const path of ['/f', '/f', '/g', '/d/a', '/d/e/b', '/d/e/c']) await write(path)
      await store.copy(p('/d/a'), p('/d/copy'), { overwrite: false })
      await store.remove(p('/g'))
      await store.removeTree(p('/d'))
      const beforeCommit = async (): Promise<void> => {
        mkdirSync(join(root, 'late'))
      }
      expect(await kindOf(store.write(p('/late'), body('x'), { digests: ['md5'], beforeCommit }))).toBe('is-directory')
      await store.close()
      expect(kept.size).toBe(1)
    })

    it('opens no fifo, and gives no bytes of a device', async () => {
      const store = await open({ native })
      execFileSync('mkfifo', [join(root, 'fifo')])
      expect(await kindOf(store.open(p('/fifo')))).toBe('not-found')
      expect(await kindOf(store.copy(p('/fifo'), p('/x'), { overwrite: true }))).toBe('not-found')
      expect(await kindOf(store.assemble(p('/x'), [{ from: p('/fifo'), range: { start: 0, end: 0 } }]))).toBe(
        'not-found',
      )
    })

    it('copies a large sparse file without filling it, where the addon can', async () => {
      const store = await open({ native })
      writeFileSync(join(root, 'sparse'), 'head')
      truncateSync(join(root, 'sparse'), 64 * mebibyte)
      await store.copy(p('/sparse'), p('/copy'), { overwrite: false })
      const copy = statSync(join(root, 'copy'))
      expect(copy.size).toBe(64 * mebibyte)
      if (native) expect(copy.blocks * 512).toBeLessThan(mebibyte)
    })

    it('works below links inside where that is wanted, and still not outside', async () => {
      const store = await open({ native, symlinks: 'inside' })
      mkdirSync(join(root, 'd', 'e'), { recursive: true })
      writeFileSync(join(root, 'd', 'f'), 'f')
      symlinkSync('d', join(root, 'link'))
      symlinkSync('../d', join(root, 'd', 'loop'))
      symlinkSync('d/f', join(root, 'file'))
      symlinkSync('/etc', join(root, 'etc'))
      const sorted = await all(store.list(p('/'), { depth: 'infinity', order: 'key' }))
      expect(sorted.map(({ path }) => path)).toEqual([
        '/d',
        '/d/e',
        '/d/f',
        '/d/loop',
        '/file',
        '/link',
        '/link/e',
        '/link/f',
        '/link/loop',
      ])
      const any = await all(store.list(p('/'), { depth: 'infinity' }))
      expect(any.map(({ path }) => path).sort()).toEqual(sorted.map(({ path }) => path).sort())
      await store.write(p('/link/new'), body('through'))
      expect(readFileSync(join(root, 'd', 'new'), 'utf8')).toBe('through')
      await store.write(p('/file'), body('replaced'))
      expect(readFileSync(join(root, 'd', 'f'), 'utf8')).toBe('replaced')
      expect(await kindOf(store.write(p('/etc/x'), body('x')))).toBe('denied')
      await store.removeTree(p('/link'))
      expect(readdirSync(join(root, 'd')).sort()).toEqual(['e', 'f', 'loop', 'new'])
      expect(await store.stat(p('/link'))).toBeUndefined()
    })

    it('says that the disk is full, and keeps the old content', async ({ skip }) => {
      const disk = join(root, 'disk')
      mkdirSync(disk)
      try {
        execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk], { stdio: 'ignore' })
      } catch {
        skip('mounting a small disk is not allowed here')
      }
      try {
        const store = await openLocalStore({ root: disk, durability: 'full', symlinks: 'absent', native })
        await store.write(p('/f'), body('old'))
        const big = Buffer.alloc(2 * mebibyte)
        expect(await kindOf(store.write(p('/f'), body(big)))).toBe('no-space')
        let pulled = false
        const watched = (async function* () {
          pulled = true
          yield big
        })()
        expect(await kindOf(store.write(p('/f'), watched, { length: big.length }))).toBe('no-space')
        expect(pulled).toBe(false)
        await store.write(p('/half'), body(big.subarray(0, 700_000)))
        expect(await kindOf(store.copy(p('/half'), p('/other'), { overwrite: false }))).toBe('no-space')
        const { available, used } = await store.space(p('/'))
        expect(available).toBeLessThan(mebibyte / 2)
        expect(used).toBeGreaterThan(700_000)
        expect(readdirSync(disk).sort()).toEqual(['f', 'half'])
        expect(readFileSync(join(disk, 'f'), 'utf8')).toBe('old')
        await store.close()
      } finally {
        execFileSync('umount', [disk])
      }
    })

    it('is unavailable while the root is away', async () => {
      const away = join(root, 'data')
      expect(await kindOf(open({ native, root: away }))).toBe('unavailable')
      mkdirSync(away)
      const store = await open({ native, root: away })
      await store.write(p('/f'), body('x'))
      rmSync(away, { recursive: true })
      expect(await kindOf(store.stat(p('/f')))).toBe('unavailable')
      expect(await kindOf(store.open(p('/f')))).toBe('unavailable')
      expect(await kindOf(store.write(p('/f'), body('y')))).toBe('unavailable')
      expect(await kindOf(store.write(p('/d/f'), body('y'), { parents: true }))).toBe('unavailable')
      expect(await kindOf(all(store.list(p('/'))))).toBe('unavailable')
      mkdirSync(away)
      expect(await store.stat(p('/f'))).toBeUndefined()
      await store.write(p('/f'), body('z'))
      expect(readFileSync(join(away, 'f'), 'utf8')).toBe('z')
    })
  })

it('wants an absolute root', async () => {
  expect(await kindOf(openLocalStore({ root: 'data', durability: 'fast', symlinks: 'absent' }))).toBe('invalid')
})

async function* body(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}

async function all(list: AsyncIterable<readonly Entry[]>): Promise<readonly Entry[]> {
  const found: Entry[] = []
  for await (const batch of list) found.push(...batch)
  return found
}

async function kindOf(promise: Promise<unknown>): Promise<FailureKind | 'none'> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}

function leftovers(directory: string): readonly string[] {
  return readdirSync(directory).filter((name) => name.startsWith('.postern-'))
}

/** Lets everything else go on until the condition holds; the test's time-out is the limit. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}

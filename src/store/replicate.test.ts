import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { body, listed, p, put, textOf } from '../../test/contract/store/subject.js'
import { Failure } from '../core/failure.js'
import { bound } from './bound.js'
import { openMemoryStore } from './memory.js'
import { replicate, type ReplicateOptions, type Replicated, type Step } from './replicate.js'
import type { Store } from './store.js'

const never = new AbortController().signal

function run(from: Store, to: Store, options: Partial<ReplicateOptions> = {}): Promise<Replicated> {
  const root = p('/')
  return replicate(
    { store: from, path: root },
    { store: to, path: root },
    { parallel: 4, verify: true, dryRun: false, deletes: false, signal: never, ...options },
  )
}

/** Every path, files with what they hold. */
async function contents(store: Store, root = '/'): Promise<readonly string[]> {
  const all: string[] = []
  for (const { path, kind } of await listed(store, root, { depth: 'infinity', order: 'key' }))
    all.push(kind === 'directory' ? `${path}/` : `${path}=${await textOf(store, path)}`)
  return all
}

function faultsOf({ failures }: Replicated): readonly string[] {
  return failures.map(({ path, failure }) => `${failure.kind} ${path}`).sort()
}

async function sample(): Promise<Store> {
  const store = openMemoryStore()
  for (const path of ['/a/f', '/a/b/g', '/a-', '/a0', '/odd/% \u{1F600} caf\u00e9', '/z']) await put(store, path)
  await put(store, '/empty-file', '')
  await store.makeDirectory(p('/a/empty'))
  await store.change(p('/a/empty'), { attributes: { of: 'directory' } })
  await store.write(p('/a/script'), body('#!'), {
    executable: true,
    modified: 951_782_400_000,
    attributes: { 'content-type': 'text/x-sh' },
  })
  return store
}

describe('a copy of a tree', () => {
  it('has all that is known of it', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    const steps: Step[] = []
    let bytes = 0
    const result = await run(from, to, {
      onStep: (step) => steps.push(step),
      onBytes: (count) => (bytes += count),
    })
    expect(await contents(to)).toEqual(await contents(from))
    expect(result).toMatchObject({ copied: 8, directories: 4, same: 0, removed: 0, failed: 0, ended: 'done' })
    expect([result.bytes, bytes]).toEqual([bytes, result.bytes])
    expect(steps).toHaveLength(12)
    expect(await to.stat(p('/a/script'))).toMatchObject({
      executable: true,
      modified: 951_782_400_000,
      attributes: { 'content-type': 'text/x-sh' },
      digests: { md5: new Uint8Array(createHash('md5').update('#!').digest()) },
    })
    expect(await to.stat(p('/a/empty'))).toMatchObject({ attributes: { of: 'directory' } })
  })

  it('is not made twice', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    await run(from, to)
    const before = await listed(to, '/', { depth: 'infinity', order: 'key' })
    await put(from, '/a/new', 'new')
    await put(from, '/z', 'different')
    const result = await run(from, to)
    expect(result).toMatchObject({ copied: 2, same: 7, directories: 0, failed: 0 })
    expect(await contents(to)).toEqual(await contents(from))
    const after = new Map((await listed(to, '/', { depth: 'infinity' })).map((entry) => [entry.path, entry.etag]))
    for (const { path, kind, etag } of before) if (kind === 'file' && path !== '/z') expect(after.get(path)).toBe(etag)
  })

  it('tells same files by their digests, else by size and time', async () => {
    const then = 1_000_000_000_000
    for (const [source, target, same] of [
      [{ digests: ['md5'] }, { digests: ['md5'], modified: 5 }, true],
      [{ digests: ['md5'], text: 'one' }, { digests: ['md5'], text: 'two' }, false],
      [{ digests: ['md5'] }, { digests: ['sha1'] }, true],
      [{}, { modified: then + 1000 }, false],
      [{}, { modified: then + 999 }, true],
      [{ text: 'one' }, { text: 'two' }, true],
      [{ text: 'one' }, { text: 'four' }, false],
    ] as const) {
      const write = async (facts: object): Promise<Store> => {
        const store = openMemoryStore()
        const { text = 'one', ...options } = { modified: then, ...facts } as { text?: string }
        await store.write(p('/f'), body(text), options)
        return store
      }
      const result = await run(await write(source), await write(target))
      expect([source, target, result.same === 1]).toEqual([source, target, same])
    }
  })

  it('is not begun by a dry run', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    await put(to, '/a/f')
    await put(to, '/gone/f')
    const before = await contents(to)
    const steps: Step[] = []
    const result = await run(from, to, { dryRun: true, deletes: true, onStep: (step) => steps.push(step) })
    expect(await contents(to)).toEqual(before)
    expect(result).toMatchObject({ copied: 7, same: 1, directories: 3, removed: 1, failed: 0 })
    expect(steps.filter(({ what }) => what === 'removed').map(({ path }) => path)).toEqual(['/gone'])
  })

  it('lies where it was told to, and comes from there', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    const ends = [
      { store: from, path: p('/a') },
      { store: to, path: p('/copy') },
    ] as const
    const options = { parallel: 2, verify: true, dryRun: false, deletes: true, signal: never }
    await replicate(...ends, options)
    await put(to, '/beside', 'stays')
    await put(to, '/copy/more')
    expect(await replicate(...ends, options)).toMatchObject({ copied: 0, same: 3, removed: 1 })
    const relative = (lines: readonly string[], root: string): readonly string[] =>
      lines.map((line) => line.slice(root.length).replace(/=.*/, ''))
    expect(relative(await contents(to, '/copy'), '/copy')).toEqual(relative(await contents(from, '/a'), '/a'))
    expect(await textOf(to, '/beside')).toBe('stays')
  })

  it('goes from and to objects with its times and executable flags', async () => {
    const from = await sample()
    const objects = openMemoryStore()
    const back = openMemoryStore()
    const root = p('/')
    // An object's own time is that of its upload.
    const forgetful: Store = {
      ...bound(objects),
      write: (path, bytes, { modified = 0, attributes, knownDigests } = {}) =>
        objects.write(path, bytes, {
          attributes: { ...attributes, 'x-amz-meta-mtime': String(modified / 1000) },
          ...(knownDigests && { knownDigests }),
        }),
    }
    const s3 = { store: forgetful, path: root, isObjects: true }
    const options = { parallel: 2, verify: true, dryRun: false, deletes: false, signal: never }
    await replicate({ store: from, path: root }, s3, options)
    expect(await objects.stat(p('/a/script'))).toMatchObject({
      attributes: { 'content-type': 'text/x-sh', 'x-amz-meta-mtime': '951782400', 'x-amz-meta-mode': '33261' },
    })
    expect(await replicate({ store: from, path: root }, s3, options)).toMatchObject({ copied: 0, same: 8 })
    await replicate(s3, { store: back, path: root }, options)
    expect(await back.stat(p('/a/script'))).toMatchObject({
      executable: true,
      modified: 951_782_400_000,
      attributes: { 'content-type': 'text/x-sh' },
    })
    expect((await back.stat(p('/a/script')))!.attributes).toEqual({ 'content-type': 'text/x-sh' })
    expect(await replicate(s3, { store: back, path: root }, options)).toMatchObject({ copied: 0, same: 8 })
  })
})

describe('what must not go wrong', () => {
  it('a source that is not there, or a file', async () => {
    const store = await sample()
    const to = { store: openMemoryStore(), path: p('/') }
    const options = { parallel: 1, verify: true, dryRun: false, deletes: true, signal: never }
    await expect(replicate({ store, path: p('/none') }, to, options)).rejects.toMatchObject({ kind: 'not-found' })
    await expect(replicate({ store, path: p('/z') }, to, options)).rejects.toMatchObject({ kind: 'not-directory' })
  })

  it('an empty source removes nothing', async () => {
    const to = await sample()
    const before = await contents(to)
    await expect(run(openMemoryStore(), to, { deletes: true })).rejects.toMatchObject({ kind: 'invalid' })
    expect(await run(openMemoryStore(), to)).toMatchObject({ copied: 0, removed: 0 })
    expect(await contents(to)).toEqual(before)
  })

  it('what a listing of the source passes over is not removed', async () => {
    const [from, to] = [await sample(), await sample()]
    const blind: Store = {
      ...bound(from),
      async *list(path, options) {
        for await (const batch of from.list(path, options))
          yield batch.filter((entry) => !entry.path.startsWith('/a/b'))
      },
    }
    await put(to, '/b/extra')
    expect(await run(blind, to, { deletes: true })).toMatchObject({ removed: 1, failed: 0 })
    expect(await contents(to)).toEqual(await contents(from))
  })

  it('a source whose listing breaks removes nothing more', async () => {
    const [from, to] = [await sample(), await sample()]
    await put(to, '/zz')
    const broken: Store = {
      ...bound(from),
      async *list(path, options) {
        for await (const batch of from.list(path, options)) {
          yield batch.slice(0, 3)
          throw new Failure('unavailable', 'It is away.')
        }
      },
    }
    const before = await contents(to)
    await expect(run(broken, to, { deletes: true })).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await contents(to)).toEqual(before)
  })

  it('a file in the way of a directory stays, and the other way round, unless it may be removed', async () => {
    const make = async (): Promise<Store> => {
      const to = openMemoryStore()
      await put(to, '/a', 'a file')
      await put(to, '/z/in', 'a directory')
      await put(to, '/z/deep/in', 'a directory')
      return to
    }
    const from = await sample()
    const to = await make()
    const result = await run(from, to)
    expect(faultsOf(result)).toEqual(['exists /a', 'is-directory /z'])
    expect(result).toMatchObject({ failed: 7, copied: 4, ended: 'done' })
    expect(await textOf(to, '/a')).toBe('a file')
    for (const parallel of [1, 8]) {
      const other = await make()
      expect(await run(from, other, { deletes: true, parallel })).toMatchObject({ failed: 0, removed: 0 })
      expect(await contents(other)).toEqual(await contents(from))
    }
  })

  it('each failure is told, and the rest goes on', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    const refusing: Store = {
      ...bound(to),
      write: async (path, bytes, options) =>
        path === '/a/f' ? Promise.reject(new Failure('denied', 'no', { path })) : to.write(path, bytes, options),
      makeDirectory: async (path) =>
        path === '/odd' ? Promise.reject(new Failure('denied', 'no', { path })) : to.makeDirectory(path),
    }
    const result = await run(from, refusing)
    expect(faultsOf(result)).toEqual(['denied /a/f', 'denied /odd'])
    expect(result).toMatchObject({ failed: 3, copied: 6, ended: 'done' })
    expect(await run(from, to)).toMatchObject({ copied: 2, same: 6, failed: 0 })
  })

  it.each([
    ['no-space', 1],
    ['unavailable', 10],
  ] as const)('%s ends it after %d', async (kind, times) => {
    const from = openMemoryStore()
    for (let index = 0; index < 100; index++) await put(from, `/${index}`)
    const to: Store = {
      ...bound(openMemoryStore()),
      write: async () => Promise.reject(new Failure(kind, 'no more')),
    }
    const result = await run(from, to, { parallel: 1 })
    expect(result).toMatchObject({ ended: 'given up', failed: times, copied: 0 })
  })

  it('a stop leaves whole files only, and the next run does the rest', async () => {
    const [from, to] = [openMemoryStore(), openMemoryStore()]
    for (let index = 0; index < 50; index++) await put(from, `/${index}`, 'x'.repeat(1000))
    const control = new AbortController()
    let copied = 0
    const result = await run(from, to, {
      signal: control.signal,
      onStep: ({ what }) => {
        if (what === 'copied' && ++copied === 10) control.abort()
      },
    })
    expect(result).toMatchObject({ ended: 'stopped', failed: 0 })
    expect(result.copied).toBeLessThan(50)
    expect((await listed(to, '/')).every(({ size }) => size === 1000)).toBe(true)
    expect(await run(from, to)).toMatchObject({ copied: 50 - result.copied, same: result.copied, ended: 'done' })
  })

  it('bytes that change on their way are not kept', async () => {
    const from = await sample()
    const whole = openMemoryStore()
    const flipping: Store = {
      ...bound(whole),
      write: (path, bytes, options) => whole.write(path, path === '/z' ? flipped(bytes) : bytes, options),
    }
    const result = await run(from, flipping)
    expect(faultsOf(result)).toEqual(['bad-digest /z'])
    expect(await whole.stat(p('/z'))).toBeUndefined()
    expect(await run(from, flipping, { verify: false })).toMatchObject({ copied: 1, failed: 0 })
    expect(await textOf(whole, '/z')).not.toBe('/z')
  })

  it('a source that is not what its checksum says is not copied', async () => {
    const [from, to] = [openMemoryStore(), openMemoryStore()]
    await from.write(p('/f'), body('rotten'), { knownDigests: () => ({ md5: new Uint8Array(16) }) })
    expect(faultsOf(await run(from, to))).toEqual(['bad-digest /f'])
    expect(await listed(to, '/')).toEqual([])
  })

  it('a service whose ETag is the MD5 is taken at its word, and nothing is read back', async () => {
    const [from, to] = [await sample(), openMemoryStore()]
    let read = 0
    const service: Store = {
      ...bound(to),
      async write(path, bytes, options) {
        const { entry, created } = await to.write(path, bytes, { ...options, digests: ['md5'] })
        return { entry: { ...entry, etag: Buffer.from(entry.digests!.md5!).toString('hex') }, created }
      },
      open: (path, options) => {
        read += 1
        return to.open(path, options)
      },
    }
    expect(await run(from, service)).toMatchObject({ copied: 8, failed: 0 })
    expect(read).toBe(0)
  })

  it('makes any tree the same as any other, however many go at once', async () => {
    const path = fc
      .array(fc.constantFrom('a', 'a-', 'a0', 'b', '\u{1F600}', '\uffee'), { minLength: 1, maxLength: 4 })
      .map((names) => `/${names.join('/')}`)
    const tree = fc.dictionary(path, fc.option(fc.string({ maxLength: 3 })), { minKeys: 1, maxKeys: 15 })
    const make = async (files: Record<string, string | null>): Promise<Store> => {
      const store = openMemoryStore()
      for (const [at, text] of Object.entries(files)) {
        const made =
          text === null ? store.makeDirectory(p(at)) : store.write(p(at), body(text), { parents: true, modified: 0 })
        // A file may be in the way of another name.
        await made.catch(() => undefined)
      }
      return store
    }
    await fc.assert(
      fc.asyncProperty(tree, tree, fc.integer({ min: 1, max: 6 }), async (one, other, parallel) => {
        const [from, to] = [await make(one), await make(other)]
        if ((await listed(from, '/')).length === 0) return
        const digested = { ...bound(from), stat: withDigest(from) }
        expect(await run(digested, { ...bound(to), stat: withDigest(to) }, { deletes: true, parallel })).toMatchObject({
          failed: 0,
        })
        expect(await contents(to)).toEqual(await contents(from))
      }),
      { numRuns: 200 },
    )
  })
})

/** The digests are known without having been asked for. */
function withDigest(store: Store): Store['stat'] {
  return async (path, signal) => {
    const entry = await store.stat(path, signal)
    return entry?.kind === 'file' ? { ...entry, digests: await store.digest!(path, ['md5']) } : entry
  }
}

async function* flipped(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) yield chunk.map((byte) => byte ^ 1)
}

import { execFileSync } from 'node:child_process'
import { constants, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { Failure, isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { openLocalStore } from '../../store/local.js'
import { loadNative } from '../../store/native.js'
import type { WriteOptions } from '../../store/store.js'
import { WriteWorkers, type WorkerSpec } from '../../../test/write-workers.js'
import { RemotePartRooms } from './parts.js'
import { writeRemote } from './write.js'

const p = toPath
const old = 'old content'
const small = Buffer.alloc(1000, 'new ')
const large = Buffer.alloc(3_000_000, 'new ')

/** Bytes in pieces, and something that happens after the first half of them. */
async function* halves(bytes: Buffer, between: () => Promise<void> | void): AsyncGenerator<Uint8Array, void> {
  const half = bytes.length / 2
  for (let at = 0; at < half; at += 65_536) yield bytes.subarray(at, Math.min(at + 65_536, half))
  await between()
  for (let at = half; at < bytes.length; at += 65_536) yield bytes.subarray(at, Math.min(at + 65_536, bytes.length))
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    return isFailure(error) ? error.kind : String(error)
  }
}

const ways = loadNative() === undefined ? [false] : [true, false]
let workers: WriteWorkers
let root: string

beforeAll(async () => {
  workers = await WriteWorkers.open()
})

afterAll(() => workers.close())

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-written-'))
  writeFileSync(join(root, 'f'), old)
})

afterEach(() => rmSync(root, { recursive: true }))

async function sweep(): Promise<void> {
  const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent', sweeps: false })
  await store.sweep()
  await store.close()
}

describe.each(ways)('a write by another process, descriptors: %s', (channel) => {
  const spec = (more: Partial<WorkerSpec> = {}): WorkerSpec => ({ root, durability: 'full', channel, ...more })

  it('puts the bytes in place, whichever way they go', async () => {
    for (const durability of ['full', 'fast'] as const) {
      const { mount, distrusted } = await workers.start(spec({ durability }))
      for (const bytes of [Buffer.alloc(0), small, Buffer.alloc(65_536, 'x'), Buffer.alloc(65_537, 'x'), large]) {
        const { entry } = await writeRemote(
          mount,
          p('/f'),
          halves(bytes, () => undefined),
          { digests: ['md5'] },
        )
        expect(entry.size).toBe(bytes.length)
        expect(readFileSync(join(root, 'f')).equals(bytes)).toBe(true)
      }
      expect(distrusted).toEqual([])
    }
    expect(readdirSync(root)).toEqual(['f'])
  })

  describe.each([
    ['small', small],
    ['large', large],
  ])('%s, whose process is killed', (_, bytes) => {
    const failing = async (
      options: WriteOptions,
      more: Partial<WorkerSpec>,
      when: 'midway' | 'at the end' | 'never',
    ) => {
      const worker = await workers.start(spec(more))
      const kill = (): Promise<void> => worker.kill()
      async function* body(): AsyncGenerator<Uint8Array, void> {
        yield* halves(bytes, when === 'midway' ? kill : () => undefined)
        if (when === 'at the end') await kill()
      }
      return { worker, kind: await kindOf(writeRemote(worker.mount, p('/f'), body(), options)) }
    }

    it('anywhere on the way, leaves the old content, and what the next sweep takes away', async () => {
      for (const durability of ['full', 'fast'] as const)
        for (const when of ['midway', 'at the end'] as const) {
          expect((await failing({}, { durability }, when)).kind).toBe('unavailable')
          expect(readFileSync(join(root, 'f'), 'utf8')).toBe(old)
        }
      await sweep()
      expect(readdirSync(root)).toEqual(['f'])
    })

    it.each(['write-begin', 'write-open', 'write-append'])('answering %s, leaves the old content', async (dies) => {
      const { kind } = await failing({}, { dies }, 'never')
      const isMet = dies === 'write-begin' || (bytes === large && (dies === 'write-open') === channel)
      expect(kind).toBe(isMet ? 'unavailable' : 'none')
      expect(readFileSync(join(root, 'f')).equals(isMet ? Buffer.from(old) : bytes)).toBe(true)
    })

    it('before the last word, leaves the old content', async () => {
      const worker = await workers.start(spec())
      const beforeCommit = (): Promise<void> => worker.kill()
      const write = writeRemote(
        worker.mount,
        p('/f'),
        halves(bytes, () => undefined),
        {
          beforeCommit,
          attributes: { a: 'b' },
        },
      )
      expect(await kindOf(write)).toBe('unavailable')
      expect(readFileSync(join(root, 'f'), 'utf8')).toBe(old)
      await sweep()
      expect(readdirSync(root)).toEqual(['f'])
    })

    it('after the file got its name, leaves the new content and says that it cannot tell', async () => {
      const { kind } = await failing({}, { dies: 'write-commit' }, 'never')
      expect(kind).toBe('unavailable')
      expect(readFileSync(join(root, 'f')).equals(bytes)).toBe(true)
      expect(readdirSync(root)).toEqual(['f'])
    })
  })

  it('leaves nothing where whoever writes is gone midway', async () => {
    for (const bytes of [small, large]) {
      const worker = await workers.start(spec())
      const gone = once(worker.child, 'exit')
      const write = writeRemote(
        worker.mount,
        p('/d/g'),
        halves(bytes, () => worker.link.close()),
        { parents: true },
      )
      expect(await kindOf(write)).toBe('unavailable')
      await gone
      expect(readdirSync(root)).toEqual(['f'])
    }
  })

  it('leaves nothing of a body that breaks, is given up or refused at the last moment, and says why as it was said', async () => {
    const { mount, distrusted } = await workers.start(spec())
    for (const bytes of [small, large])
      for (const attributes of [{}, { a: 'b' }]) {
        const broken = new Error('the line broke')
        const breaking = halves(bytes, () => Promise.reject(broken))
        await expect(writeRemote(mount, p('/f'), breaking, { attributes })).rejects.toBe(broken)
        const refused = new Failure('locked', 'not now', { reason: 'lock-token-submitted' })
        const beforeCommit = async (): Promise<void> => Promise.reject(refused)
        const whole = halves(bytes, () => undefined)
        await expect(writeRemote(mount, p('/f'), whole, { attributes, beforeCommit })).rejects.toBe(refused)
        const control = new AbortController()
        const reason = new Failure('timeout', 'too slow')
        const late = async (): Promise<void> => control.abort(reason)
        const slow = writeRemote(mount, p('/f'), halves(bytes, late), { attributes, signal: control.signal })
        await expect(slow).rejects.toBe(reason)
        expect(readFileSync(join(root, 'f'), 'utf8')).toBe(old)
        expect(readdirSync(root)).toEqual(['f'])
      }
    expect(distrusted).toEqual([])
  })

  it('asks the same process in the last word of many at once, and none waits for ever', async () => {
    const { mount } = await workers.start(spec())
    const parts = new RemotePartRooms(mount)
    let judged = 0
    const beforeCommit = async (): Promise<void> => {
      judged++
      for await (const rooms of parts.list()) expect(rooms).toEqual([])
    }
    const bytes = Buffer.alloc(65_536, 'x')
    const names = Array.from({ length: 400 }, (_, index) => `m${index}`)
    await Promise.all(
      names.map((name) =>
        writeRemote(
          mount,
          p(`/${name}`),
          halves(bytes, () => undefined),
          { beforeCommit },
        ),
      ),
    )
    expect(judged).toBe(names.length)
    expect(readdirSync(root).sort()).toEqual(['f', ...names].sort())
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
      writeFileSync(join(disk, 'f'), old)
      const { mount, link, child, distrusted } = await workers.start(spec({ root: disk }))
      const gone = once(child, 'exit')
      expect(
        await kindOf(
          writeRemote(
            mount,
            p('/f'),
            halves(large, () => undefined),
          ),
        ),
      ).toBe('no-space')
      let isPulled = false
      const watched = halves(large, () => void (isPulled = true))
      expect(await kindOf(writeRemote(mount, p('/f'), watched, { length: large.length }))).toBe('no-space')
      expect([isPulled, distrusted]).toEqual([false, []])
      expect(readFileSync(join(disk, 'f'), 'utf8')).toBe(old)
      expect(readdirSync(disk)).toEqual(['f'])
      link.close()
      await gone
    } finally {
      execFileSync('umount', ['-l', disk])
    }
  })

  it('leaves the parts that were there where the process is killed while it takes one', async () => {
    const first = await workers.start(spec())
    const room = await new RemotePartRooms(first.mount).open(p('/f'))
    const one = await new RemotePartRooms(first.mount).put(
      room,
      1,
      halves(large, () => undefined),
      {
        length: large.length,
      },
    )
    for (const number of [2, 3]) {
      const worker = await workers.start(spec())
      const put = new RemotePartRooms(worker.mount).put(
        room,
        number,
        halves(large, () => worker.kill()),
        {
          length: large.length,
        },
      )
      expect(await kindOf(put)).toBe('unavailable')
    }
    const next = await workers.start(spec())
    const parts = new RemotePartRooms(next.mount)
    const two = await parts.put(
      room,
      2,
      halves(large, () => undefined),
      { length: large.length },
    )
    const { entry } = await parts.become(room, p('/f'), [one, two], { digests: ['md5'], attributes: { a: 'b' } })
    expect(entry).toMatchObject({ size: 2 * large.length, attributes: { a: 'b' } })
    expect(readFileSync(join(root, 'f')).equals(Buffer.concat([large, large]))).toBe(true)
    await sweep()
    expect(readdirSync(root)).toEqual(['f'])
  })
})

describe.skipIf(loadNative() === undefined)('an open file that was not passed in good faith', () => {
  it.each([
    ['only to be read', 'f', constants.O_RDONLY],
    ['a device', '/dev/null', constants.O_RDWR],
    ['a directory', '.', constants.O_RDONLY],
    ['of the kernel', '/proc/self/comm', constants.O_RDWR],
  ])('%s, is not written to, and ends the trust', async (_, path, flags) => {
    const passes = { path: path.startsWith('/') ? path : join(root, path), flags }
    const { mount, link, distrusted } = await workers.start({ root, durability: 'full', channel: true, passes })
    const body = halves(large, () => undefined)
    expect(await kindOf(writeRemote(mount, p('/f'), body))).toBe('unavailable')
    const end = await link.closed
    expect(end.how === 'violation' || distrusted.length === 1).toBe(true)
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe(old)
  })
})

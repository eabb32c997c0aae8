import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Processes, storeProcesses } from '../../../test/contract/store/process.js'
import { isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { type LocalOptions, type LocalStore, openLocalStore } from '../local.js'
import { loadNative } from '../native.js'
import type { StoredPart } from '../part-rooms.js'

const p = toPath
const size = 200_000
const withAddon = loadNative() !== undefined

let processes: Processes
let root: string
let stores: LocalStore[]

beforeAll(() => {
  processes = storeProcesses()
})

afterAll(() => processes.dispose())

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-parts-'))
  stores = []
})

afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(stores.map((store) => store.close()))
  rmSync(root, { recursive: true })
})

async function open(options: Partial<LocalOptions> = {}): Promise<LocalStore> {
  const store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent', sweeps: false, ...options })
  stores.push(store)
  return store
}

function bytes(number: number, length = size): Buffer {
  return Buffer.alloc(length, `part ${number} `)
}

async function* body(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks
}

function send(store: LocalStore, room: string, number: number, part = bytes(number)): Promise<StoredPart> {
  return store.parts.put(room, number, body(part), { length: part.length })
}

function inRoom(room: string): readonly string[] {
  return readdirSync(join(root, '.postern-parts', room)).sort()
}

function inode(path: string): number {
  return statSync(join(root, path)).ino
}

async function kindOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}

describe.runIf(withAddon)('the file of slots', () => {
  it('becomes the file itself where the parts lie one behind the other', async () => {
    const store = await open()
    const room = await store.parts.open(p('/f'))
    const stored = [await send(store, room, 1), await send(store, room, 2), await send(store, room, 3, bytes(3, 77))]
    const whole = inode(`.postern-parts/${room}/whole-${size}`)
    await store.parts.become(room, p('/f'), stored)
    expect(inode('f')).toBe(whole)
    expect(readdirSync(root)).toEqual(['f'])
    expect(readFileSync(join(root, 'f')).equals(Buffer.concat([bytes(1), bytes(2), bytes(3, 77)]))).toBe(true)
  })

  it('is filled up where one part has come again', async () => {
    const store = await open()
    const room = await store.parts.open(p('/f'))
    const stored = [await send(store, room, 1), await send(store, room, 2), await send(store, room, 3)]
    const again = await send(store, room, 2, Buffer.alloc(size, 'again'))
    await store.parts.drop(room, stored[1]!)
    const whole = inode(`.postern-parts/${room}/whole-${size}`)
    await store.parts.become(room, p('/f'), [stored[0]!, again, stored[2]!])
    expect(inode('f')).toBe(whole)
    expect(readFileSync(join(root, 'f')).equals(Buffer.concat([bytes(1), Buffer.alloc(size, 'again'), bytes(3)]))).toBe(
      true,
    )
  })

  it('is left as it is while somebody writes there', async () => {
    const store = await open()
    const room = await store.parts.open(p('/f'))
    const stored = [await send(store, room, 1), await send(store, room, 2)]
    let go: () => void = () => undefined
    const gone = new Promise<void>((resolve) => (go = resolve))
    const late = kindOf(
      store.parts.put(
        room,
        3,
        (async function* () {
          yield bytes(3).subarray(0, 10)
          await gone
          yield bytes(3).subarray(10)
        })(),
        { length: size },
      ),
    )
    await vi.waitFor(() => expect(inRoom(room)).toContain('s3'))
    const whole = inode(`.postern-parts/${room}/whole-${size}`)
    await store.parts.become(room, p('/f'), stored)
    expect(inode('f')).not.toBe(whole)
    go()
    expect(await late).toBe('not-found')
    expect(readFileSync(join(root, 'f')).equals(Buffer.concat([bytes(1), bytes(2)]))).toBe(true)
    await vi.waitFor(() => expect(readdirSync(root)).toEqual(['f']))
  })

  it('is never made anew where it has become a file and the room is still there', async () => {
    const [store, other] = [await open(), await open()]
    const room = await store.parts.open(p('/f'))
    const stored = [await send(store, room, 1), await send(store, room, 2)]
    // As a process leaves it that dies right after the rename.
    renameSync(join(root, '.postern-parts', room, `whole-${size}`), join(root, 'f'))
    for (const one of [store, other])
      for (const number of [1, 2, 3]) expect((await send(one, room, number)).place).toMatch(/^p/)
    await store.parts.drop(room, stored[1]!)
    for (const list of [stored, stored.slice(0, 1)])
      expect(await kindOf(store.parts.become(room, p('/g'), list))).toBe('not-found')
    expect(readdirSync(root).sort()).toEqual(['.postern-parts', 'f'])
    await store.parts.close(room)
  })

  it('is copied over to another disk, to which it cannot be renamed', async ({ skip }) => {
    const disk = join(root, 'disk')
    mkdirSync(disk)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', disk], { stdio: 'ignore' })
    } catch {
      skip('mounting is not allowed here')
    }
    try {
      const store = await open({ durability: 'full' })
      for (const count of [1, 2]) {
        const room = await store.parts.open(p('/disk/f'))
        const stored: StoredPart[] = []
        for (let number = 1; number <= count; number++) stored.push(await send(store, room, number))
        await store.parts.become(room, p('/disk/f'), stored)
        expect(readFileSync(join(disk, 'f')).equals(Buffer.concat([bytes(1), bytes(2)].slice(0, count)))).toBe(true)
        expect(readdirSync(disk)).toEqual(['f'])
      }
      const room = await store.parts.open(p('/disk/f'))
      const large = await store.parts.put(room, 1, body(...Array.from({ length: 9 }, () => Buffer.alloc(1 << 20))))
      expect(await kindOf(store.parts.become(room, p('/disk/f'), [large]))).toBe('no-space')
      expect(readdirSync(disk)).toEqual(['f'])
      expect(inRoom(room)).toContain(large.place)
      await store.parts.close(room)
    } finally {
      execFileSync('umount', [disk])
    }
  })
})

for (const native of withAddon ? [true, false] : [false])
  describe(`rooms, ${native ? 'with' : 'without'} the addon`, () => {
    it('are left alone by a sweep, which takes what a crash has left in them', async () => {
      const store = await open({ native })
      const room = await store.parts.open(p('/f'))
      const stored = [await send(store, room, 1), await store.parts.put(room, 2, body(bytes(2)))]
      const leftover = join(root, '.postern-parts', room, '.postern-write-0123456789abcdef0')
      writeFileSync(leftover, 'x')
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 25 * 3600_000 })
      expect(await store.sweep()).toBe(1)
      await store.parts.become(room, p('/f'), stored)
      expect(readFileSync(join(root, 'f')).equals(Buffer.concat([bytes(1), bytes(2)]))).toBe(true)
      expect(readdirSync(root)).toEqual(['f'])
    })

    it('show nowhere, and cannot be named', async () => {
      const store = await open({ native })
      const room = await store.parts.open(p('/f'))
      const part = await send(store, room, 1)
      const inside = p(`/.postern-parts/${room}/${part.place}`)
      expect(await kindOf(store.open(inside))).toBe('not-found')
      expect(await store.stat(p('/.postern-parts'))).toBeUndefined()
      expect(await kindOf(store.write(inside, body(bytes(1))))).toBe('denied')
      expect(await kindOf(store.removeTree(p('/.postern-parts')))).toBe('not-found')
      expect(await kindOf(store.parts.become(room, inside, [part]))).toBe('denied')
      expect(await kindOf(store.parts.putFrom(room, 2, inside, { start: 0, end: 1 }))).toBe('not-found')
      for await (const batch of store.list(p('/'), { depth: 'infinity' })) expect(batch).toEqual([])
      await store.parts.close(room)
      expect(readdirSync(root)).toEqual([])
    })

    it('give a file the mode and owner of the one that it replaces, and the group of its folder', async ({ skip }) => {
      if (process.geteuid?.() !== 0) skip('only root can give files away')
      const store = await open({ native })
      writeFileSync(join(root, 'f'), 'old')
      chmodSync(join(root, 'f'), 0o640)
      chownSync(join(root, 'f'), 1234, 1235)
      mkdirSync(join(root, 'd'))
      chownSync(join(root, 'd'), 0, 1236)
      chmodSync(join(root, 'd'), 0o2755)
      for (const path of ['f', 'd/g']) {
        const room = await store.parts.open(p('/' + path))
        await store.parts.become(room, p('/' + path), [await send(store, room, 1), await send(store, room, 2)])
      }
      const { mode, uid, gid } = statSync(join(root, 'f'))
      expect([mode & 0o777, uid, gid]).toEqual([0o640, 1234, 1235])
      expect(statSync(join(root, 'd', 'g')).gid).toBe(1236)
    })

    it.runIf(process.platform === 'linux')('leave no descriptor open', async () => {
      const store = await open({ native, durability: 'full' })
      const before = readdirSync('/proc/self/fd').length
      for (let round = 0; round < 3; round++) {
        const room = await store.parts.open(p('/f'))
        const stored = [await send(store, room, 1), await send(store, room, 2)]
        await kindOf(store.parts.put(room, 3, body(bytes(3)), { length: size + 1 }))
        await kindOf(store.parts.put(room, 2, body(bytes(3)), { length: size + 1 }))
        await store.parts.drop(room, await send(store, room, 2))
        await kindOf(store.parts.become(room, p('/none/f'), stored))
        await kindOf(store.parts.become(room, p('/f'), stored, { ifMatch: ['other'] }))
        await store.parts.become(room, p('/f'), stored)
        for await (const batch of store.parts.list()) expect(batch).toEqual([])
        await store.parts.close(room)
      }
      await vi.waitFor(() => expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before))
    })

    it('outlive a process that is killed while it takes a part', async () => {
      const store = await open({ native, durability: 'full' })
      const room = await store.parts.open(p('/f'))
      const one = await send(store, room, 1)
      const { child, next } = processes.run(
        `console.log(JSON.stringify(await store.parts.put('${room}', 3, body(Buffer.alloc(${size}, 'part 3 ')), { length: ${size} })))
         await store.parts.put('${room}', 2, (async function* () {
           yield Buffer.alloc(${size} / 2, 'garbage')
           console.log('midway')
           setInterval(() => {}, 1000)
           await new Promise(() => {})
         })(), { length: ${size} })`,
        { root, native, durability: 'full' },
      )
      const three = JSON.parse((await next()) ?? '') as StoredPart
      expect(await next()).toBe('midway')
      // While it is being written there, the slot is not for others.
      const beside = await send(store, room, 2)
      await store.parts.drop(room, beside)
      child.kill('SIGKILL')
      await once(child, 'exit')
      const two = await send(store, room, 2)
      expect([beside.place[0], two.place[0]]).toEqual(native ? ['p', 's'] : ['p', 'p'])
      await store.parts.become(room, p('/f'), [one, two, three])
      expect(readFileSync(join(root, 'f')).equals(Buffer.concat([bytes(1), bytes(2), bytes(3)]))).toBe(true)
    })

    it('leave the old content or the new where a process is killed while it makes the file', async () => {
      const store = await open({ native })
      for (let round = 0; round < 8; round++) {
        writeFileSync(join(root, 'f'), 'old')
        const room = await store.parts.open(p('/f'))
        const stored = [await send(store, room, 1), await send(store, room, 2), await send(store, room, 4)]
        const chosen = round % 2 === 0 ? stored.slice(0, 2) : stored
        if (round % 2 === 0) await store.parts.drop(room, stored[2]!)
        const { child, next } = processes.run(
          `const parts = ${JSON.stringify(chosen)}
           await store.parts.become('${room}', p('/f'), parts, { beforeCommit: async () => {
             console.log('now')
             ${round < 2 ? 'setInterval(() => {}, 1000); await new Promise(() => {})' : ''}
           } })`,
          { root, native },
        )
        expect(await next()).toBe('now')
        child.kill('SIGKILL')
        await once(child, 'exit')
        const expected = Buffer.concat([bytes(1), bytes(2), bytes(4)].slice(0, chosen.length))
        const found = readFileSync(join(root, 'f'))
        if (found.toString() === 'old') await store.parts.become(room, p('/f'), chosen)
        else expect(found.equals(expected)).toBe(true)
        expect(readFileSync(join(root, 'f')).equals(expected)).toBe(true)
        await store.parts.close(room)
      }
    })

    it('keep apart what two processes put under the same numbers', async () => {
      const store = await open({ native })
      const room = await store.parts.open(p('/f'))
      const script = (letter: string): string =>
        `for (let number = 1; number <= 40; number++) {
           const bytes = Buffer.alloc(${size}, '${letter}' + number)
           const part = await store.parts.put('${room}', number, body(bytes.subarray(0, 1000), bytes.subarray(1000)), { length: ${size} })
           console.log(JSON.stringify(part))
         }`
      const runs = ['a', 'b'].map((letter) => processes.run(script(letter), { root, native }))
      const stored: StoredPart[][] = [[], []]
      for (let number = 1; number <= 40; number++)
        for (const [index, { next }] of runs.entries())
          stored[index]!.push(JSON.parse((await next()) ?? '') as StoredPart)
      const places = stored.flat().map(({ place }) => place)
      expect(new Set(places).size).toBe(80)
      if (native) expect(places.filter((place) => place.startsWith('s'))).toHaveLength(40)
      // Of each number one of the two; the other is let go.
      const chosen = stored[0]!.map((part, index) => (index % 3 === 0 ? part : stored[1]![index]!))
      for (const part of stored.flat()) if (!chosen.includes(part)) await store.parts.drop(room, part)
      await store.parts.become(room, p('/f'), chosen)
      const expected = chosen.map((_, index) => Buffer.alloc(size, (index % 3 === 0 ? 'a' : 'b') + String(index + 1)))
      expect(readFileSync(join(root, 'f')).equals(Buffer.concat(expected))).toBe(true)
    })

    // Without the addon there are no locks between processes, as `procCalls` says.
    it.runIf(native)('let one of two processes make the file', async () => {
      const store = await open({ native })
      for (let round = 0; round < 5; round++) {
        const room = await store.parts.open(p('/f'))
        const stored = [await send(store, room, 1), await send(store, room, 2)]
        const runs = ['/a', '/b'].map((path) =>
          processes.run(
            `const made = await store.parts.become('${room}', p('${path}'), ${JSON.stringify(stored)}).then(() => 'made', ({ kind }) => kind)
             console.log(made)`,
            { root, native },
          ),
        )
        const outcomes = await Promise.all(runs.map(({ next }) => next()))
        expect(outcomes.sort()).toEqual(['made', 'not-found'])
        expect(readdirSync(root)).toHaveLength(1)
        for (const name of readdirSync(root)) {
          expect(readFileSync(join(root, name)).equals(Buffer.concat([bytes(1), bytes(2)]))).toBe(true)
          rmSync(join(root, name))
        }
      }
    })
  })

import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import type { PartRooms } from '../../store/part-rooms.js'
import { canStartAsOthers } from '../../../test/other-users.js'
import { WriteWorkers } from '../../../test/write-workers.js'
import { RemotePartRooms } from './parts.js'

const p = toPath
const alice = 54_321
const bob = 54_322
const size = 100_000

async function* body(byte: string): AsyncGenerator<Uint8Array, void> {
  yield Buffer.alloc(size, byte)
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    return isFailure(error) ? error.kind : String(error)
  }
}

describe.skipIf(!canStartAsOthers())('rooms for parts of a user', () => {
  let workers: WriteWorkers
  let root: string

  beforeAll(async () => {
    workers = await WriteWorkers.open()
  })

  afterAll(() => workers.close())

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'postern-rooms-'))
    chmodSync(root, 0o755)
    make('pub', 0, 0o777)
  })

  afterEach(() => rmSync(root, { recursive: true }))

  function make(path: string, uid: number, mode: number): void {
    mkdirSync(join(root, path))
    chownSync(join(root, path), uid, uid)
    chmodSync(join(root, path), mode)
  }

  async function roomsOf(uid: number, home?: string): Promise<PartRooms> {
    const owner = { uid, home: home === undefined ? undefined : p(home) }
    const { mount } = await workers.start({ root, durability: 'full', channel: false, owner })
    return new RemotePartRooms(mount)
  }

  /** Uploads a file in two parts, and tells where the room lay meanwhile. */
  async function upload(parts: PartRooms, uid: number): Promise<string> {
    const room = await parts.open(p('/pub/f'))
    const found = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith(room))
    for (const path of found) {
      const { uid: owner, mode } = statSync(join(root, path))
      expect([owner, mode & 0o777]).toEqual([uid, 0o700])
      const folder = statSync(join(root, path, '..'))
      expect([folder.uid, folder.mode & 0o777]).toEqual([uid, 0o700])
    }
    const stored = [
      await parts.put(room, 1, body('a'), { length: size }),
      await parts.put(room, 2, body('b'), { length: size }),
    ]
    await parts.become(room, p('/pub/f'), stored)
    expect(readFileSync(join(root, 'pub/f'), 'latin1')).toBe('a'.repeat(size) + 'b'.repeat(size))
    expect(statSync(join(root, 'pub/f')).uid).toBe(uid)
    rmSync(join(root, 'pub/f'))
    return found.map((path) => path.slice(0, -room.length - 1)).join()
  }

  it('lie at the root where the user may write there', async () => {
    chownSync(root, alice, alice)
    expect(await upload(await roomsOf(alice), alice)).toBe(`.postern-parts-${alice}`)
    expect(readdirSync(root)).toEqual(['pub'])
  })

  it('lie in the home of the user else', async () => {
    make('home', alice, 0o700)
    const parts = await roomsOf(alice, '/home')
    expect(await upload(parts, alice)).toBe(`home/.postern-parts-${alice}`)
    expect(readdirSync(join(root, 'home'))).toEqual([])
  })

  it('lie where root has made a place for them else', async () => {
    make('.postern-parts', 0, 0o1777)
    const parts = await roomsOf(alice, '/none')
    expect(await upload(parts, alice)).toBe(`.postern-parts/${alice}`)
  })

  it('are denied where there is no place, and it is said what to do', async () => {
    const parts = await roomsOf(alice)
    await expect(parts.open(p('/pub/f'))).rejects.toMatchObject({
      kind: 'denied',
      message: expect.stringContaining('.postern-parts must be made') as string,
    })
    expect(readdirSync(root)).toEqual(['pub'])
  })

  it.each([
    ['is of another user', bob, 0o1777],
    ['others may change', 0, 0o777],
  ])('are not put into a common place that %s', async (_, uid, mode) => {
    make('.postern-parts', uid, mode)
    expect(await kindOf((await roomsOf(alice)).open(p('/pub/f')))).toBe('denied')
  })

  it.each([
    ['of another user', bob, 0o777],
    ['that others may write to', alice, 0o777],
    ['that a group may write to', alice, 0o770],
  ])('are not put into a folder %s', async (_, uid, mode) => {
    chmodSync(root, 0o777)
    make(`.postern-parts-${alice}`, uid, mode)
    expect(await kindOf((await roomsOf(alice)).open(p('/pub/f')))).toBe('denied')
  })

  it('of one user cannot be reached by another', async () => {
    chmodSync(root, 0o777)
    const [one, other] = [await roomsOf(alice), await roomsOf(bob)]
    const room = await one.open(p('/pub/f'))
    const part = await one.put(room, 1, body('a'), { length: size })
    const reaching: readonly (() => Promise<unknown>)[] = [
      () => other.put(room, 2, body('b')),
      () => other.become(room, p('/pub/g'), [part]),
      () => other.drop(room, part),
    ]
    for (const reach of reaching) expect(await kindOf(reach())).toBe('not-found')
    await other.close(room)
    for await (const rooms of other.list()) expect(rooms).toEqual([])
    const own: string[] = []
    for await (const rooms of one.list()) own.push(...rooms.map((each) => each.room))
    expect(own).toEqual([room])
    await one.become(room, p('/pub/f'), [part])
  })
})

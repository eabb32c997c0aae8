import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { type LocalStore, openLocalStore } from '../local.js'

const p = toPath
let root: string
let store: LocalStore

beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'postern-digest-'))
  store = await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
})

afterEach(async () => {
  await store.close()
  rmSync(root, { recursive: true })
})

it.each([
  ['is written in place', (file: string) => writeFileSync(file, 'y'.repeat(100), { flag: 'r+' })],
  [
    'is replaced',
    (file: string) => {
      writeFileSync(`${file}-new`, 'y')
      renameSync(`${file}-new`, file)
    },
  ],
])('notes nothing of a file that %s while it is read', async (_, change) => {
  const file = join(root, 'f')
  writeFileSync(file, Buffer.alloc(16 * 1024 * 1024, 'x'))
  const changes = setInterval(() => change(file), 2)
  try {
    await expect(store.digest(p('/f'), ['sha512', 'crc64nvme'])).rejects.toMatchObject({ kind: 'precondition' })
  } finally {
    clearInterval(changes)
  }
  expect((await store.stat(p('/f')))?.digests).toBeUndefined()
})

it('lets others in while it reads', async () => {
  writeFileSync(join(root, 'f'), Buffer.alloc(32 * 1024 * 1024, 'x'))
  let turns = 0
  const clock = setInterval(() => turns++, 1)
  await store.digest(p('/f'), ['sha512', 'md5', 'crc64nvme'])
  clearInterval(clock)
  // 128 pieces, none of which takes the event loop together with another.
  expect(turns).toBeGreaterThan(20)
})

it('gives up when it is told to', async () => {
  writeFileSync(join(root, 'f'), Buffer.alloc(32 * 1024 * 1024, 'x'))
  const control = new AbortController()
  const digesting = store.digest(p('/f'), ['sha512', 'md5'], control.signal)
  setTimeout(() => control.abort(), 1)
  await expect(digesting).rejects.toMatchObject({ kind: 'incomplete' })
})

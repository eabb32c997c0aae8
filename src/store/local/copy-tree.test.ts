import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { type LocalOptions, type LocalStore, openLocalStore } from '../local.js'
import { loadNative } from '../native.js'
import { copyTree } from '../tree.js'

const p = toPath

let root: string
let stores: LocalStore[]

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'postern-copy-tree-'))
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

function make(path: string, text = path): void {
  mkdirSync(join(root, path, '..'), { recursive: true })
  writeFileSync(join(root, path), text)
}

for (const native of loadNative() === undefined ? [false] : [true, false])
  describe(native ? 'with the addon' : 'without the addon', () => {
    it('copies no link, fifo or reserved name, whatever a link leads to', async () => {
      const store = await open({ native })
      make('d/f')
      make('d/.postern-write-0123456789abcdef')
      symlinkSync('/etc/passwd', join(root, 'd', 'link'))
      symlinkSync('..', join(root, 'd', 'up'))
      execFileSync('mkfifo', [join(root, 'd', 'fifo')])
      await store.copyTree(p('/d'), p('/e'))
      expect(readdirSync(join(root, 'e'))).toEqual(['f'])
      expect(readdirSync(root).sort()).toEqual(['d', 'e'])
    })

    it('copies what links lead to where they are followed, member by member', async () => {
      const store = await open({ native, symlinks: 'inside' })
      make('d/f')
      symlinkSync('f', join(root, 'd', 'link'))
      await expect(store.copyTree(p('/d'), p('/e'))).rejects.toMatchObject({ kind: 'unsupported' })
      expect(readdirSync(root)).toEqual(['d'])
      const { failures } = await copyTree(store, p('/d'), p('/e'), { overwrite: false })
      expect(failures).toEqual([])
      expect(readFileSync(join(root, 'e', 'link'), 'utf8')).toBe('d/f')
      make('plain/f')
      await store.copyTree(p('/plain'), p('/other'))
      expect(readdirSync(join(root, 'other'))).toEqual(['f'])
    })

    it('gives each copy the permission bits of its source, without those that give rights away', async () => {
      const store = await open({ native })
      for (const [name, mode] of [
        ['private', 0o600],
        ['open', 0o666],
        ['script', 0o755],
        ['setuid', 0o4755],
      ] as const) {
        make(`d/${name}`)
        chmodSync(join(root, 'd', name), mode)
      }
      await store.copyTree(p('/d'), p('/e'))
      const modes = ['private', 'open', 'script', 'setuid'].map((name) => statSync(join(root, 'e', name)).mode & 0o7777)
      expect(modes).toEqual([0o600, 0o666, 0o755, 0o755])
    })

    it('copies one of two names that mean the same, the composed one', async () => {
      const store = await open({ native })
      make('d/e\u0301', 'decomposed')
      make('d/\u00e9', 'composed')
      make('d/o\u0308', 'alone')
      await store.copyTree(p('/d'), p('/e'))
      expect(readdirSync(join(root, 'e')).sort()).toEqual(['\u00e9', '\u00f6'])
      expect(readFileSync(join(root, 'e', '\u00e9'), 'utf8')).toBe('composed')
    })

    it('keeps a large file whole', async () => {
      const store = await open({ native })
      make('d/large', 'x'.repeat(100_000))
      truncateSync(join(root, 'd', 'large'), 3_000_000)
      await store.copyTree(p('/d'), p('/e'))
      expect(readFileSync(join(root, 'e', 'large')).equals(readFileSync(join(root, 'd', 'large')))).toBe(true)
    })

    it('leaves nothing when it is given up in the middle, and lets others in meanwhile', async () => {
      const store = await open({ native })
      for (let i = 0; i < 3000; i++) make(`d/${i % 10}/${i}`)
      const controller = new AbortController()
      const copying = store.copyTree(p('/d'), p('/e'), controller.signal)
      const seen = new Promise<readonly string[]>((resolve) => {
        setImmediate(() => {
          resolve(readdirSync(root))
          controller.abort()
        })
      })
      await expect(copying).rejects.toMatchObject({ kind: 'incomplete' })
      expect((await seen).filter((name) => name.startsWith('.postern-tree-'))).toHaveLength(1)
      expect(await seen).not.toContain('e')
      expect(readdirSync(root)).toEqual(['d'])
    })

    it('leaves deep trees to the long way', async () => {
      const store = await open({ native })
      make(`deep/${'d/'.repeat(150)}f`)
      await expect(store.copyTree(p('/deep'), p('/e'))).rejects.toMatchObject({ kind: 'unsupported' })
      expect((await copyTree(store, p('/deep'), p('/e'), { overwrite: false })).failures).toEqual([])
      expect(readFileSync(join(root, 'e', 'd/'.repeat(150), 'f'), 'utf8')).toContain('deep/')
      expect(readdirSync(root).sort()).toEqual(['deep', 'e'])
    })
  })

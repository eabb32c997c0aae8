import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toPath } from '../../core/path.js'
import { openLocalStore } from '../local.js'
import { loadNative } from '../native.js'
import type { Action } from '../store.js'

const actions: readonly Action[] = ['read', 'list', 'create', 'replace', 'delete']
const me = 61012
const other = 61013

describe.skipIf(process.getuid?.() !== 0 || loadNative() === undefined)('permits, as a user that is not root', () => {
  let root = ''

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'postern-permits-'))
    chmodSync(root, 0o755)
  })

  afterEach(() => rmSync(root, { recursive: true }))

  function directory(path: string, owner: number, mode: number): void {
    mkdirSync(root + path)
    chownSync(root + path, owner, owner)
    chmodSync(root + path, mode)
  }

  function file(path: string, owner: number, mode: number): void {
    writeFileSync(root + path, 'x')
    chownSync(root + path, owner, owner)
    chmodSync(root + path, mode)
  }

  /** What is permitted, in the order of `actions`, to the effective user. */
  async function permitted(path: string, symlinks: 'absent' | 'inside' = 'absent'): Promise<string> {
    process.setegid?.(me)
    process.seteuid?.(me)
    try {
      const store = await openLocalStore({ root, durability: 'fast', symlinks, sweeps: false, asksKernel: true })
      const found: string[] = []
      for (const action of actions) if (await store.permits(action, toPath(path))) found.push(action)
      await store.close()
      return found.join(' ')
    } finally {
      process.seteuid?.(0)
      process.setegid?.(0)
    }
  }

  it("allows all in a directory of one's own, and what modes leave of it elsewhere", async () => {
    directory('/mine', me, 0o700)
    file('/mine/f', me, 0o600)
    file('/mine/shut', other, 0o600)
    directory('/theirs', other, 0o755)
    file('/theirs/open', other, 0o644)
    file('/theirs/shut', other, 0o600)
    directory('/secret', other, 0o700)
    file('/secret/f', other, 0o644)
    expect(await permitted('/mine/f')).toBe('read list create replace delete')
    // Who may change the directory may put another file in its place, but not look at this one.
    expect(await permitted('/mine/shut')).toBe('create replace delete')
    expect(await permitted('/theirs/open')).toBe('read list')
    expect(await permitted('/theirs/shut')).toBe('')
    expect(await permitted('/secret/f')).toBe('')
    expect(await permitted('/secret')).toBe('')
    expect(await permitted('/theirs')).toBe('read list')
  })

  it('heeds the sticky bit', async () => {
    directory('/shared', other, 0o1777)
    file('/shared/mine', me, 0o644)
    file('/shared/theirs', other, 0o666)
    expect(await permitted('/shared/mine')).toBe('read list create replace delete')
    expect(await permitted('/shared/theirs')).toBe('read list create')
    directory('/own', me, 0o1777)
    file('/own/theirs', other, 0o644)
    expect(await permitted('/own/theirs')).toBe('read list create replace delete')
  })

  it('lets nobody refuse what is not there, but its making', async () => {
    directory('/mine', me, 0o700)
    directory('/theirs', other, 0o755)
    directory('/secret', other, 0o700)
    expect(await permitted('/mine/new')).toBe('read list create replace delete')
    expect(await permitted('/mine/new/deep/er')).toBe('read list create replace delete')
    expect(await permitted('/theirs/new')).toBe('read list delete')
    expect(await permitted('/theirs/new/deep')).toBe('read list delete')
    expect(await permitted('/secret/new')).toBe('')
    expect(await permitted('/secret/new/deep')).toBe('')
  })

  it('heeds what a directory may be used for', async () => {
    directory('/pass', me, 0o300)
    file('/pass/f', me, 0o600)
    directory('/look', me, 0o400)
    expect(await permitted('/pass')).toBe('replace')
    expect(await permitted('/pass/f')).toBe('read list create replace delete')
    expect(await permitted('/look')).toBe('read')
    expect(await permitted('/')).toBe('read list')
  })

  it('asks the target of a link that is followed, and knows no other', async () => {
    directory('/mine', me, 0o700)
    directory('/theirs', other, 0o755)
    file('/theirs/shut', other, 0o600)
    symlinkSync('../theirs/shut', root + '/mine/link')
    expect(await permitted('/mine/link')).toBe('')
    expect(await permitted('/mine/link', 'inside')).toBe('delete')
  })

  it('knows a disk that cannot be written to', async () => {
    directory('/disk', me, 0o700)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=1m,uid=${me},gid=${me},mode=755`, 'tmpfs', root + '/disk'])
    try {
      file('/disk/f', me, 0o600)
      expect(await permitted('/disk/f')).toBe('read list create replace delete')
      execFileSync('mount', ['-o', 'remount,ro', root + '/disk'])
      expect(await permitted('/disk/f')).toBe('read list')
      expect(await permitted('/disk/new')).toBe('read list delete')
    } finally {
      execFileSync('umount', [root + '/disk'])
    }
  })
})

import { spawn } from 'node:child_process'
import { appendFile, chmod, mkdir, mkdtemp, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'
import { modified } from '../wire/dav.js'
import { describeForeign } from './tools.js'

/** A tree of folders with 50 files each, some with awkward names, some empty, some of 100 KB. */
async function makeTree(at: string, folders: number): Promise<void> {
  for (let folder = 0; folder < folders; folder += 1) {
    const path = join(at, folder % 5 === 0 ? `ördner ${folder}` : `folder-${folder}`, folder % 3 === 0 ? 'deep/er' : '')
    await mkdir(path, { recursive: true })
    for (let file = 0; file < 50; file += 1) {
      const size = file % 25 === 0 ? 100_000 + file : (file * 37) % 2000
      const name = file % 10 === 0 ? `file ${file} #1 100% & ümlaut.txt` : `file-${file}.txt`
      await writeFile(join(path, name), Buffer.alloc(size, `${folder}/${file} `))
    }
  }
}

async function mounted(at: string): Promise<boolean> {
  return (await readFile('/proc/mounts', 'utf8')).split('\n').some((line) => line.split(' ')[1] === at)
}

describeForeign('davfs2', ['program: mount.davfs', 'right: root', 'right: mount', 'right: fuse'], () => {
  let server: Server
  let home: string
  let mount: string

  beforeAll(async () => {
    server = await startServer()
    home = await mkdtemp(join(tmpdir(), 'postern-davfs-'))
    mount = join(home, 'mount')
    await mkdir(mount)
    // The daemon of davfs2 gives root up.
    await chmod(home, 0o755)
    await freshCache()
    await writeFile(join(home, 'secrets'), `${mount} admin "${server.adminPassword}"\n`, { mode: 0o600 })
    const conf = [
      `secrets ${join(home, 'secrets')}`,
      `cache_dir ${join(home, 'cache')}`,
      ...['ask_auth 0', 'buf_size 128', 'use_locks 1', 'delay_upload 0', 'file_refresh 0', 'dir_refresh 1'],
    ]
    await writeFile(join(home, 'davfs2.conf'), conf.join('\n') + '\n')
  })

  afterEach(async () => {
    if (await mounted(mount)) await run('umount', [mount])
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(home, { recursive: true, force: true })
  })

  async function freshCache(): Promise<void> {
    await rm(join(home, 'cache'), { recursive: true, force: true })
    await mkdir(join(home, 'cache'))
    await chmod(join(home, 'cache'), 0o777)
  }

  async function mountNow(): Promise<void> {
    const done = await run('mount', ['-t', 'davfs', '-o', `conf=${join(home, 'davfs2.conf')}`, server.url + '/', mount])
    expect(done.code, done.stderr + server.stderr()).toBe(0)
  }

  async function unmount(): Promise<void> {
    const done = await run('umount', [mount])
    expect(done.code, done.stderr).toBe(0)
    await eventually('the mount is gone', async () => !(await mounted(mount)))
  }

  it('copies a tree of 1,000 files in and out', async () => {
    const source = join(home, 'source')
    await makeTree(source, 20)
    await mountNow()
    const copied = await run('cp', ['-r', source, join(mount, 'tree')])
    expect(copied.stderr).toBe('')
    expect(copied.code).toBe(0)
    await unmount()
    const onDisk = await run('diff', ['-r', source, join(server.root, 'tree')])
    expect(onDisk.stdout + onDisk.stderr).toBe('')
    expect(await namesBelow(join(server.root, 'tree'))).toEqual(await namesBelow(source))

    await freshCache()
    await mountNow()
    expect((await run('cp', ['-r', join(mount, 'tree'), join(home, 'back')])).stderr).toBe('')
    const back = await run('diff', ['-r', source, join(home, 'back')])
    expect(back.stdout + back.stderr).toBe('')
    expect((await run('rm', ['-r', join(mount, 'tree')])).stderr).toBe('')
    await unmount()
    expect((await namesBelow(server.root)).filter((name) => !name.startsWith('lost+found'))).toEqual([])
  })

  it('edits, appends, truncates and replaces by rename', async () => {
    await mountNow()
    await writeFile(join(mount, 'doc.txt'), 'one\n')
    await appendFile(join(mount, 'doc.txt'), 'two\n')
    await writeFile(join(mount, 'new.tmp'), 'three\n')
    await rename(join(mount, 'new.tmp'), join(mount, 'other.txt'))
    await writeFile(join(mount, 'long.txt'), '0123456789')
    await truncate(join(mount, 'long.txt'), 4)
    await unmount()
    expect(await readFile(join(server.root, 'doc.txt'), 'utf8')).toBe('one\ntwo\n')
    expect(await readFile(join(server.root, 'other.txt'), 'utf8')).toBe('three\n')
    expect(await readFile(join(server.root, 'long.txt'), 'utf8')).toBe('0123')
    expect((await namesBelow(server.root)).filter((name) => !name.startsWith('lost+found'))).toEqual([
      'doc.txt',
      'long.txt',
      'other.txt',
    ])
    const locked = await server.request('PROPFIND', '/doc.txt', { headers: { Depth: '0' } })
    expect(locked.text, 'davfs2 has given its locks back').not.toContain('activelock')
  })
})

describeForeign('rclone', ['program: rclone'], () => {
  let server: Server
  let home: string
  let env: NodeJS.ProcessEnv

  beforeAll(async () => {
    server = await startServer()
    home = await mkdtemp(join(tmpdir(), 'postern-rclone-'))
    const obscured = await run('rclone', ['obscure', server.adminPassword])
    env = {
      ...process.env,
      HOME: home,
      RCLONE_CONFIG: join(home, 'none.conf'),
      RCLONE_CONFIG_P_TYPE: 'webdav',
      RCLONE_CONFIG_P_URL: server.url + '/',
      RCLONE_CONFIG_P_VENDOR: 'other',
      RCLONE_CONFIG_P_USER: 'admin',
      RCLONE_CONFIG_P_PASS: obscured.stdout.trim(),
    }
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(home, { recursive: true, force: true })
  })

  async function rclone(...args: readonly string[]): Promise<string> {
    const done = await run('rclone', ['--retries', '1', '--low-level-retries', '1', ...args], { cwd: home, env })
    expect(done.code, `rclone ${args.join(' ')}: ${done.stderr}`).toBe(0)
    return done.stdout + done.stderr
  }

  it('syncs a tree there and back, and finds every byte the same', async () => {
    const source = join(home, 'source')
    // rclone paces itself to a hundred calls a second.
    await makeTree(source, 6)
    await rclone('sync', source, 'P:tree')
    await rclone('check', '--download', source, 'P:tree')
    const onDisk = await run('diff', ['-r', source, join(server.root, 'tree')])
    expect(onDisk.stdout + onDisk.stderr).toBe('')
    await rm(join(source, 'folder-1'), { recursive: true })
    await writeFile(join(source, 'added.txt'), 'added')
    await rclone('sync', source, 'P:tree')
    expect(await namesBelow(join(server.root, 'tree'))).toEqual(await namesBelow(source))
    await rclone('sync', 'P:tree', 'back')
    const back = await run('diff', ['-r', source, join(home, 'back')])
    expect(back.stdout + back.stderr).toBe('')
  })

  it('keeps times with the header of its ownCloud kin, and moves and removes on the server', async () => {
    await writeFile(join(home, 'dated.txt'), 'dated')
    await run('touch', ['-d', '2001-02-03T04:05:06Z', join(home, 'dated.txt')])
    await rclone('--webdav-vendor', 'owncloud', 'copyto', 'dated.txt', 'P:dated.txt')
    expect(await modified(join(server.root, 'dated.txt'))).toBe('2001-02-03T04:05:06.000Z')
    await rclone('moveto', 'P:dated.txt', 'P:moved.txt')
    await rclone('copyto', 'P:moved.txt', 'P:copied.txt')
    expect(await readFile(join(server.root, 'moved.txt'), 'utf8')).toBe('dated')
    await rclone('deletefile', 'P:moved.txt')
    await rclone('mkdir', 'P:empty/deeper')
    await rclone('purge', 'P:empty')
    expect((await rclone('lsf', 'P:')).split('\n')).not.toContain('moved.txt')
  })
})

describeForeign('rclone mount', ['program: rclone', 'program: fusermount3', 'right: fuse', 'right: mount'], () => {
  it('writes and reads through a mount with a write cache', async () => {
    await using server = await startServer()
    const home = await mkdtemp(join(tmpdir(), 'postern-rclone-mount-'))
    const at = join(home, 'mount')
    await mkdir(at)
    const obscured = (await run('rclone', ['obscure', server.adminPassword])).stdout.trim()
    const remote = `:webdav,url='${server.url}/',vendor=other,user=admin,pass=${obscured}:`
    const child = spawn(
      'rclone',
      ['mount', '--vfs-cache-mode', 'writes', '--vfs-write-back', '0s', '--dir-cache-time', '0s', remote, at],
      {
        env: { ...process.env, HOME: home, RCLONE_CONFIG: join(home, 'none.conf') },
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    )
    const gone = new Promise((resolve) => child.on('close', resolve))
    let log = ''
    child.stderr.on('data', (bytes: Buffer) => (log += bytes.toString()))
    try {
      await eventually('rclone has mounted', () => mounted(at), 20_000)
      await mkdir(join(at, 'folder'))
      await writeFile(join(at, 'folder', 'a.txt'), 'through the mount')
      const uploaded = join(server.root, 'folder', 'a.txt')
      await eventually('the file has arrived', async () => (await readText(uploaded)) === 'through the mount', 20_000)
      await appendFile(join(at, 'folder', 'a.txt'), ', twice')
      await eventually('the change has arrived', async () => (await readText(uploaded))?.endsWith('twice') === true)
      await rename(join(at, 'folder', 'a.txt'), join(at, 'b.txt'))
      expect(await readFile(join(at, 'b.txt'), 'utf8')).toBe('through the mount, twice')
      await rm(join(at, 'folder'), { recursive: true })
      expect(await namesBelow(server.root)).toEqual(['b.txt'])
    } catch (error) {
      throw new Error(`${String(error)}\n${log}`, { cause: error })
    } finally {
      await run('fusermount3', ['-u', '-z', at])
      child.kill('SIGTERM')
      await gone
      await rm(home, { recursive: true, force: true })
    }
  })
})

async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, 'utf8').catch(() => undefined)
}

import { appendFile, chmod, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, expect, it } from 'vitest'
import { eventually, namesBelow } from '../harness.js'
import { expectFile, expectSameTree, randomFile, smallTree, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('s3fs', ['program: s3fs', 'right: root', 'right: mount', 'right: fuse'], () => {
  const site = withS3Site()
  let at: string

  beforeAll(async () => {
    at = join(site.home, 'mount')
    await mkdir(at)
    await mkdir(join(site.server.root, 'mounted'))
    const { accessKeyId, secretAccessKey } = site.key
    await writeFile(join(site.home, 'passwd'), `${accessKeyId}:${secretAccessKey}\n`, { mode: 0o600 })
  })

  afterEach(async () => {
    if (await mounted()) await unmount()
  })

  async function mounted(): Promise<boolean> {
    return (await readFile('/proc/mounts', 'utf8')).split('\n').some((line) => line.split(' ')[1] === at)
  }

  async function mount(): Promise<void> {
    const options = [
      `url=${site.http}`,
      'use_path_request_style',
      'sigv4',
      `passwd_file=${join(site.home, 'passwd')}`,
      'multipart_size=5',
      'retries=1',
    ]
    await site.ok('s3fs', ['mounted', at, '-o', options.join(',')])
    await eventually('s3fs has mounted', mounted)
  }

  async function unmount(): Promise<void> {
    await site.ok('umount', [at])
    await eventually('the mount is gone', async () => !(await mounted()))
  }

  it('copies a tree in and out, and removes it', async () => {
    const tree = join(site.home, 'tree')
    await smallTree(tree)
    const big = await randomFile(join(tree, 'big'), 12 << 20)
    await mount()
    await site.ok('cp', ['-r', tree, join(at, 'tree')])
    await expectSameTree(tree, join(at, 'tree'))
    await unmount()
    await expectSameTree(tree, join(site.server.root, 'mounted/tree'))
    await mount()
    await site.ok('cp', ['-r', join(at, 'tree'), join(site.home, 'back')])
    await expectSameTree(tree, join(site.home, 'back'))
    await rename(join(at, 'tree/big'), join(at, 'tree/sub/renamed'))
    await rename(join(at, 'tree/sub'), join(at, 'tree/folder renamed'))
    await expectFile(join(at, 'tree/folder renamed/renamed'), big)
    await site.ok('rm', ['-r', join(at, 'tree')])
    await unmount()
    expect(await namesBelow(join(site.server.root, 'mounted'))).toEqual([])
  })

  it('keeps modes and times, appends and replaces', async () => {
    await mount()
    await writeFile(join(at, 'file'), 'one')
    await chmod(join(at, 'file'), 0o640)
    await appendFile(join(at, 'file'), ', two')
    const time = new Date('2001-02-03T04:05:06Z')
    await site.ok('touch', ['-d', time.toISOString(), join(at, 'file')])
    await writeFile(join(at, 'new'), 'three')
    await rename(join(at, 'new'), join(at, 'old'))
    await mkdir(join(at, 'empty folder'))
    await unmount()
    expect(await readFile(join(site.server.root, 'mounted/file'), 'utf8')).toBe('one, two')
    await mount()
    const { mode, mtimeMs } = await stat(join(at, 'file'))
    expect([mode & 0o777, mtimeMs]).toEqual([0o640, time.getTime()])
    expect(await readFile(join(at, 'old'), 'utf8')).toBe('three')
    expect((await stat(join(at, 'empty folder'))).isDirectory()).toBe(true)
    await rm(join(at, 'empty folder'), { recursive: true })
    await unmount()
    expect(await namesBelow(join(site.server.root, 'mounted'))).toEqual(['file', 'old'])
  })

  it('sees what others write, and shows folders that no client of S3 has made', async () => {
    await mkdir(join(site.server.root, 'mounted/by hand'))
    await writeFile(join(site.server.root, 'mounted/by hand/file'), 'by hand')
    await mount()
    expect(await readFile(join(at, 'by hand/file'), 'utf8')).toBe('by hand')
    await writeFile(join(at, 'by hand/other'), 'by mount')
    await unmount()
    expect(await readFile(join(site.server.root, 'mounted/by hand/other'), 'utf8')).toBe('by mount')
  })
})

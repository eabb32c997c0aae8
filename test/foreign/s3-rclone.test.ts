import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { namesBelow, run } from '../harness.js'
import { expectFile, expectSameTree, randomFile, smallTree, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('rclone over S3', ['program: rclone'], () => {
  const site = withS3Site()

  async function rclone(...args: readonly string[]): Promise<string> {
    const { server, key, http, home } = site
    const obscured = await run('rclone', ['obscure', server.adminPassword])
    return await site.ok('rclone', ['--retries', '1', '--low-level-retries', '1', ...args], {
      ...site.env,
      RCLONE_CONFIG: join(home, 'none.conf'),
      RCLONE_CONFIG_S3_TYPE: 's3',
      RCLONE_CONFIG_S3_PROVIDER: 'Other',
      RCLONE_CONFIG_S3_ENDPOINT: http,
      RCLONE_CONFIG_S3_ACCESS_KEY_ID: key.accessKeyId,
      RCLONE_CONFIG_S3_SECRET_ACCESS_KEY: key.secretAccessKey,
      RCLONE_CONFIG_DAV_TYPE: 'webdav',
      RCLONE_CONFIG_DAV_URL: `${server.url}/`,
      RCLONE_CONFIG_DAV_VENDOR: 'other',
      RCLONE_CONFIG_DAV_USER: 'admin',
      RCLONE_CONFIG_DAV_PASS: obscured.stdout.trim(),
    })
  }

  it('makes the bucket, syncs a tree there and back, and finds every byte the same, over WebDAV too', async () => {
    const tree = join(site.home, 'tree')
    await smallTree(tree)
    const time = new Date('2001-02-03T04:05:06.789Z')
    await utimes(join(tree, 'a.txt'), time, time)
    await rclone('sync', 'tree', 'S3:synced/tree')
    await expectSameTree(tree, join(site.server.root, 'synced/tree'))
    await rclone('check', '--download', 'tree', 'S3:synced/tree')
    await rclone('check', 'tree', 'S3:synced/tree')
    await rclone('check', '--download', 'DAV:synced/tree', 'S3:synced/tree')
    const listed = JSON.parse(await rclone('lsjson', 'S3:synced/tree/a.txt')) as readonly { ModTime: string }[]
    expect(listed.map(({ ModTime }) => Date.parse(ModTime))).toEqual([time.getTime()])
    await writeFile(join(tree, 'added.txt'), 'added')
    await rm(join(tree, 'sub/deeper'), { recursive: true })
    await rclone('sync', 'tree', 'S3:synced/tree')
    await expectSameTree(tree, join(site.server.root, 'synced/tree'))
    await rclone('sync', 'S3:synced/tree', 'back')
    await expectSameTree(tree, join(site.home, 'back'))
  })

  it('uploads in parts, moves and copies on the server, and purges', async () => {
    const big = await randomFile(join(site.home, 'big'), 17 << 20)
    await rclone('copy', '--s3-upload-cutoff', '5M', '--s3-chunk-size', '5M', 'big', 'S3:large')
    await expectFile(join(site.server.root, 'large/big'), big)
    // It keeps the MD5 of the whole by itself, for the ETag of parts is none.
    expect(await rclone('md5sum', 'S3:large/big')).toBe(await rclone('md5sum', 'big'))
    await rclone('copyto', 'S3:large/big', 'big-back')
    await expectFile(join(site.home, 'big-back'), big)
    await rclone('moveto', 'S3:large/big', 'S3:large/moved/big')
    expect(await namesBelow(join(site.server.root, 'large'))).toEqual(['moved', 'moved/big'])
    await rclone('copy', '--s3-copy-cutoff', '5M', '--s3-chunk-size', '5M', 'S3:large/moved', 'S3:copied')
    await expectFile(join(site.server.root, 'copied/big'), big)
    await rclone('purge', 'S3:large')
    await rclone('purge', 'S3:copied')
    expect((await rclone('lsf', 'S3:')).split('\n')).not.toContain('large/')
    expect((await namesBelow(site.server.root)).filter((name) => /large|copied/.test(name))).toEqual([])
  })

  it('reads what lies there already, with and without the other version of lists', async () => {
    await mkdir(join(site.server.root, 'there/a folder'), { recursive: true })
    await writeFile(join(site.server.root, 'there/a folder/ü+%.txt'), 'put there by hand')
    for (const version of ['1', '2']) {
      const flags = ['--s3-list-version', version]
      expect((await rclone('lsf', '-R', ...flags, 'S3:there')).trim().split('\n').sort()).toEqual([
        'a folder/',
        'a folder/ü+%.txt',
      ])
      expect(await rclone('cat', ...flags, 'S3:there/a folder/ü+%.txt')).toBe('put there by hand')
    }
    await rclone('touch', '-t', '2020-01-02T03:04:05', 'S3:there/a folder/ü+%.txt')
    expect(await rclone('lsl', 'S3:there')).toContain('2020-01-02 03:04:05')
    expect(await readFile(join(site.server.root, 'there/a folder/ü+%.txt'), 'utf8')).toBe('put there by hand')
  })
})

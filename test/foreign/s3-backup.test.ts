import { randomInt } from 'node:crypto'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { namesBelow, run } from '../harness.js'
import { expectFile, expectSameTree, randomFile, smallTree, withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

describeForeign('restic', ['program: restic'], () => {
  const site = withS3Site()

  async function restic(scheme: 'http' | 'https', ...args: readonly string[]): Promise<string> {
    return await site.ok('restic', ['--no-cache', '--cacert', site.certificate, ...args], {
      ...site.env,
      RESTIC_REPOSITORY: `s3:${site[scheme]}/backups/${scheme}`,
      RESTIC_PASSWORD: 'of the repository',
    })
  }

  it('makes a repository, backs a tree up twice, checks every byte, restores and forgets', async () => {
    const tree = join(site.home, 'tree')
    await smallTree(tree)
    await randomFile(join(tree, 'big'), 20 << 20)
    await restic('http', 'init')
    await restic('http', 'backup', 'tree')
    await writeFile(join(tree, 'a.txt'), 'changed\n')
    await restic('http', 'backup', 'tree')
    expect(await restic('http', 'check', '--read-data')).toContain('no errors were found')
    await restic('http', 'restore', 'latest', '--target', 'restored')
    await expectSameTree(tree, join(site.home, 'restored/tree'))
    expect(await namesBelow(join(site.server.root, 'backups/http'))).toContain('config')
    await restic('http', 'forget', '--keep-last', '1', '--prune')
    expect(JSON.parse(await restic('http', 'snapshots', '--json'))).toHaveLength(1)
    expect(await restic('http', 'check', '--read-data')).toContain('no errors were found')
    const locks = (await namesBelow(join(site.server.root, 'backups'))).filter((name) => name.includes('locks/'))
    expect(locks, 'restic has removed its locks').toEqual([])
  })

  it('backs up and restores over TLS, where it signs in another way', async () => {
    const tree = join(site.home, 'small tree')
    await smallTree(tree)
    await restic('https', 'init')
    await restic('https', 'backup', 'small tree')
    await restic('https', 'restore', 'latest', '--target', 'restored over TLS')
    await expectSameTree(tree, join(site.home, 'restored over TLS/small tree'))
  })
})

/** Its library signs the host without the port: only with the port of the scheme that is what it sends. */
const annexHost = `127.${randomInt(64, 255)}.${randomInt(1, 255)}.80`

describeForeign('git-annex', ['program: git-annex', 'program: git', 'right: root'], () => {
  const site = withS3Site({ alsoAt: `${annexHost}:80` })

  async function git(...args: readonly string[]): Promise<string> {
    return await site.ok('git', ['-C', 'annexed', ...args])
  }

  it('passes its own tests of a remote, and gives files away and gets them back', async () => {
    await mkdir(join(site.home, 'annexed'))
    await writeFile(join(site.home, '.gitconfig'), '[user]\nname = Tester\nemail = tester@example.org\n')
    await git('init', '-q')
    await git('annex', 'init', 'here')
    // It keeps away from the machine that it runs on, unless it is told to.
    await git('config', 'annex.security.allowed-ip-addresses', annexHost)
    const settings = {
      type: 'S3',
      encryption: 'none',
      host: annexHost,
      port: '80',
      protocol: 'http',
      requeststyle: 'path',
      signature: 'v4',
      bucket: 'annex',
      // It sends somewhat less than it is told; 5 MiB are the least that a part may have.
      partsize: '6MiB',
      autoenable: 'false',
    }
    const pairs = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
    await git('annex', 'initremote', 'postern', ...pairs)
    const tested = await git('annex', 'testremote', '--fast', '--quiet', 'postern')
    expect(tested).toMatch(/All \d+ tests passed/)

    const big = await randomFile(join(site.home, 'annexed/big'), 12 << 20)
    await writeFile(join(site.home, 'annexed/small'), 'small')
    await git('annex', 'add', '--quiet', '.')
    await git('commit', '-q', '-m', 'files')
    await git('annex', 'copy', '--quiet', '--to', 'postern')
    await git('annex', 'fsck', '--quiet', '--from', 'postern')
    await git('annex', 'drop', '--quiet', 'big', 'small')
    await git('annex', 'get', '--quiet', '.')
    await git('annex', 'fsck', '--quiet')
    await expectFile(join(site.home, 'annexed/big'), big)
    const kept = await namesBelow(join(site.server.root, 'annex'))
    expect(kept.filter((name) => name.startsWith(`SHA256E-s${big.length}-`))).toHaveLength(1)
    await git('annex', 'drop', '--quiet', '--from', 'postern')
    expect(await namesBelow(join(site.server.root, 'annex'))).toEqual(['annex-uuid'])
    // Its files are kept from being removed.
    await run('chmod', ['-R', 'u+w', join(site.home, 'annexed')])
    await rm(join(site.home, 'annexed'), { recursive: true })
  })
})

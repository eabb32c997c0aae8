import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually, run } from '../harness.js'
import { system } from '../unix-users.js'
import { clientEnvironment, issueKey } from './s3-site.js'
import type { S3Key } from './s3-site.js'
import { openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

const needs = [...privsepNeeds, 'right: mount', 'program: mkfs.btrfs', 'program: btrfs', 'program: aws', 'program: losetup'] as const // prettier-ignore

describeForeign('a disk or a quota that is full', needs, () => {
  let site: PrivsepSite
  let key: S3Key
  let at: string

  beforeAll(async () => {
    site = await openPrivsepSite({
      prepare: ({ root, folder }) => {
        at = root
        for (const name of ['quota', 'small']) mkdirSync(join(root, name))
        const image = join(folder, 'btrfs.img')
        system('truncate', ['-s', '256M', image])
        system('mkfs.btrfs', ['-q', image])
        system('mount', ['-o', 'loop', image, join(root, 'quota')])
        system('btrfs', ['quota', 'enable', join(root, 'quota')])
        system('btrfs', ['subvolume', 'create', join(root, 'quota/limited')])
        system('btrfs', ['qgroup', 'limit', '2M', join(root, 'quota/limited')])
        system('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', join(root, 'small')])
        for (const name of ['quota/limited', 'small']) chmodSync(join(root, name), 0o1777)
      },
      dismantle: ({ root }) => {
        for (const name of ['quota', 'small']) spawnSync('umount', ['-l', join(root, name)])
      },
    })
    key = await issueKey(site.server, site.alice.name, 'rw:/**')
  })

  afterAll(() => site.dispose())

  describe.each(['quota/limited', 'small'])('in %s', (folder) => {
    const tooMuch = Buffer.alloc(6_000_000, 'n')

    /** Nothing but these names, the store's own among them. */
    const leaves = (names: readonly string[]): Promise<void> =>
      eventually('nothing else is left', () => readdirSync(join(at, folder)).sort().join() === [...names].sort().join())

    it('is 507 over WebDAV, and the old content stays', async () => {
      const { alice, ask } = site
      expect((await ask(alice, 'PUT', `/${folder}/f`, { body: 'old' })).status).toBe(201)
      for (const name of ['f', 'new'])
        for (const request of [{ body: tooMuch }, { chunks: [tooMuch.subarray(0, 3_000_000), tooMuch] }]) {
          const answer = await ask(alice, 'PUT', `/${folder}/${name}`, request)
          expect(answer.status, answer.text).toBe(507)
          expect(answer.text).not.toMatch(/EDQUOT|ENOSPC|errno/)
        }
      expect(readFileSync(join(at, folder, 'f'), 'utf8')).toBe('old')
      await leaves(['f'])
    })

    it('is 507 over HTTP, with a problem document', async () => {
      const issued = await site.server.cli(['key', 'issue', site.alice.name, '--grant', 'rw:/**', '--json'])
      const { id, secret } = JSON.parse(issued.stdout) as { readonly id: string; readonly secret: string }
      const answer = await site.server.request('PUT', `/${folder}/http`, { as: null, headers: { 'X-Api-Key': id, 'X-Api-Secret': secret }, body: tooMuch }) // prettier-ignore
      expect(answer.status, answer.text).toBe(507)
      expect(answer.header('content-type')).toContain('application/problem+json')
      await leaves(['f'])
    })

    it('is 507 over S3, in one piece and in parts', async () => {
      const env = clientEnvironment(site.folder, key)
      const big = join(site.folder, 'big')
      execFileSync('truncate', ['-s', '12M', big])
      execFileSync('sh', ['-c', 'head -c 12000000 /dev/urandom > "$0"', big])
      const [bucket = '', ...rest] = `${folder}/object`.split('/')
      const put = await run('aws', ['--endpoint-url', site.server.url, 's3api', 'put-object', '--bucket', bucket, '--key', rest.join('/'), '--body', big], { env: { ...env, AWS_MAX_ATTEMPTS: '1' } }) // prettier-ignore
      expect(put.stderr).toMatch(/QuotaExceeded|507/)
      const copied = await run('aws', ['--endpoint-url', site.server.url, 's3', 'cp', big, `s3://${folder}/object`], { env: { ...env, AWS_MAX_ATTEMPTS: '1' } }) // prettier-ignore
      expect(copied.stderr).toMatch(/QuotaExceeded|507/)
      expect((await site.ask(site.alice, 'GET', `/${folder}/object`)).status).toBe(404)
      expect((await site.ask(site.alice, 'GET', `/${folder}/f`)).text).toBe('old')
    })

    it('leaves other folders as they were', async () => {
      const { alice, bob, ask } = site
      for (const user of [alice, bob])
        expect([201, 204]).toContain((await ask(user, 'PUT', `/home/${user.name}/big`, { body: tooMuch })).status)
    })
  })
})

import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { eventually, run } from '../harness.js'
import type { UnixUser } from '../unix-users.js'
import { expectLitmusFindsNothing } from './litmus-run.js'
import { clientEnvironment, issueKey } from './s3-site.js'
import { openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

/** `MODE UID GID` as the disk has it. */
async function onDisk(path: string): Promise<string> {
  const { mode, uid, gid } = await stat(path)
  return `${(mode & 0o7777).toString(8)} ${uid} ${gid}`
}

describeForeign('litmus as two users', [...privsepNeeds, 'program: litmus'], () => {
  let site: PrivsepSite

  beforeAll(async () => {
    site = await openPrivsepSite()
  })

  afterAll(() => site.dispose())

  it('finds nothing, at once, each in a home of mode 0700', async () => {
    const { server, alice, bob } = site
    await Promise.all(
      [alice, bob].map(async (user) => {
        const notes = join(site.folder, `litmus-${user.name}`)
        await mkdir(notes)
        await expectLitmusFindsNothing(`${server.url}/home/${user.name}/`, [user.name, user.password], notes)
      }),
    )
  })

  it('finds nothing in a folder of a group', async () => {
    const { server, alice, bob } = site
    await Promise.all(
      [alice, bob].map(async (user) => {
        const notes = join(site.folder, `litmus-team-${user.name}`)
        await mkdir(notes)
        expect((await site.ask(user, 'MKCOL', `/team/${user.name}/`)).status).toBe(201)
        await expectLitmusFindsNothing(`${server.url}/team/${user.name}/`, [user.name, user.password], notes)
      }),
    )
  })
})

describeForeign('davfs2 of two users', [...privsepNeeds, 'program: mount.davfs', 'right: mount', 'right: fuse'], () => {
  let site: PrivsepSite
  const mounts: string[] = []

  beforeAll(async () => {
    site = await openPrivsepSite({ config: { privsep: { umask: '027' } } })
  })

  afterEach(async () => {
    for (const mount of mounts.splice(0)) await run('umount', [mount])
  })

  afterAll(() => site.dispose())

  async function mount(user: UnixUser): Promise<string> {
    const folder = join(site.folder, `mount-of-${user.name}`)
    const at = join(folder, 'at')
    await mkdir(at, { recursive: true })
    await mkdir(join(folder, 'cache'), { recursive: true })
    await chmod(join(folder, 'cache'), 0o777)
    await writeFile(join(folder, 'secrets'), `${at} ${user.name} "${user.password}"\n`, { mode: 0o600 })
    const conf = [`secrets ${join(folder, 'secrets')}`, `cache_dir ${join(folder, 'cache')}`, 'ask_auth 0', 'use_locks 1', 'delay_upload 0', 'dir_refresh 1'] // prettier-ignore
    await writeFile(join(folder, 'davfs2.conf'), conf.join('\n') + '\n')
    const done = await run('mount', ['-t', 'davfs', '-o', `conf=${join(folder, 'davfs2.conf')}`, site.server.url + '/', at]) // prettier-ignore
    expect(done.code, done.stderr + site.server.stderr()).toBe(0)
    mounts.push(at)
    return at
  }

  async function unmountAll(): Promise<void> {
    for (const at of mounts.splice(0)) expect((await run('umount', [at])).stderr).toBe('')
    const left = async (): Promise<boolean> => (await readFile('/proc/mounts', 'utf8')).includes(site.folder)
    await eventually('the mounts are gone', async () => !(await left()))
  }

  it('leaves owners, groups and modes as the users themselves would have made them', async () => {
    const { alice, bob, root, team } = site
    const [ofAlice, ofBob] = [await mount(alice), await mount(bob)]
    await Promise.all(
      ([[ofAlice, alice], [ofBob, bob]] as const).map(async ([at, { name }]) => {
        await mkdir(join(at, 'home', name, 'made'))
        await writeFile(join(at, 'home', name, 'made/note.txt'), `of ${name}`)
        await mkdir(join(at, 'team', name))
        await writeFile(join(at, 'team', name, 'shared.txt'), `from ${name}`)
      }),
    ) // prettier-ignore
    await writeFile(join(ofAlice, 'alices/only.txt'), 'by her further group')
    await unmountAll()
    for (const { name, uid, gid } of [alice, bob]) {
      expect(await onDisk(join(root, 'home', name, 'made'))).toBe(`750 ${uid} ${gid}`)
      expect(await onDisk(join(root, 'home', name, 'made/note.txt'))).toBe(`640 ${uid} ${gid}`)
      // The folder hands its group on, and the bit that does so.
      expect(await onDisk(join(root, 'team', name))).toBe(`2750 ${uid} ${team}`)
      expect(await onDisk(join(root, 'team', name, 'shared.txt'))).toBe(`640 ${uid} ${team}`)
      expect(await readFile(join(root, 'team', name, 'shared.txt'), 'utf8')).toBe(`from ${name}`)
    }
    expect(await onDisk(join(root, 'alices/only.txt'))).toBe(`640 ${alice.uid} ${alice.gid}`)
  })

  it('shows one nothing of the other, and lets them share what is shared', async () => {
    const { alice, bob, root } = site
    const [ofAlice, ofBob] = [await mount(alice), await mount(bob)]
    await expect(readFile(join(ofAlice, 'home', bob.name, 'secret.txt'))).rejects.toThrow()
    await expect(writeFile(join(ofBob, 'alices/x.txt'), 'x')).rejects.toThrow()
    await writeFile(join(ofAlice, 'team/both.txt'), 'from alice')
    const both = join(root, 'team/both.txt')
    await eventually('it has arrived', async () => (await readFile(both, 'utf8').catch(() => '')) === 'from alice')
    await eventually('bob reads it', async () => (await readFile(join(ofBob, 'team/both.txt'), 'utf8').catch(() => '')) === 'from alice') // prettier-ignore
    await unmountAll()
    await rm(both)
  })
})

describeForeign(
  'curl, rclone and the aws cli as two users',
  [...privsepNeeds, 'program: curl', 'program: rclone', 'program: aws'],
  () => {
    // prettier-ignore
    let site: PrivsepSite

    beforeAll(async () => {
      site = await openPrivsepSite()
    })

    afterAll(() => site.dispose())

    it('curl: what a user sends is that user’s, and nobody else gets it', async () => {
      const { server, alice, bob, root } = site
      const curl = (user: UnixUser, ...args: readonly string[]) => run('curl', ['-sS', '-o', '/dev/null', '-w', '%{http_code}', '-u', `${user.name}:${user.password}`, ...args]) // prettier-ignore
      const url = `${server.url}/home/${alice.name}/curl.txt`
      expect((await curl(alice, '-T', '/etc/hostname', url)).stdout).toBe('201')
      expect(await onDisk(join(root, 'home', alice.name, 'curl.txt'))).toMatch(
        new RegExp(` ${alice.uid} ${alice.gid}$`),
      )
      expect((await curl(alice, url)).stdout).toBe('200')
      expect(['403', '404']).toContain((await curl(bob, url)).stdout)
      expect(['403', '404', '409']).toContain((await curl(bob, '-T', '/etc/hostname', url)).stdout)
      expect(['403', '404']).toContain((await curl(bob, '-X', 'DELETE', url)).stdout)
      expect(await readFile(join(root, 'home', alice.name, 'curl.txt'), 'utf8')).toBe(await readFile('/etc/hostname', 'utf8')) // prettier-ignore
    })

    it('rclone: both sync at once, and every file has its owner', async () => {
      const { server, alice, bob, root, folder } = site
      const source = join(folder, 'source')
      await mkdir(join(source, 'deep/er'), { recursive: true })
      for (let n = 0; n < 20; n += 1) await writeFile(join(source, n % 2 ? 'deep/er' : '', `file ${n}.txt`), `content ${n}`) // prettier-ignore
      await Promise.all(
        [alice, bob].map(async (user) => {
          const pass = (await run('rclone', ['obscure', user.password])).stdout.trim()
          const env = { ...process.env, HOME: folder, RCLONE_CONFIG: join(folder, 'none.conf'), RCLONE_CONFIG_P_TYPE: 'webdav', RCLONE_CONFIG_P_URL: `${server.url}/home/${user.name}/`, RCLONE_CONFIG_P_VENDOR: 'other', RCLONE_CONFIG_P_USER: user.name, RCLONE_CONFIG_P_PASS: pass } // prettier-ignore
          const done = await run('rclone', ['--retries', '1', 'sync', source, 'P:synced'], { env })
          expect(done.code, done.stderr).toBe(0)
          const check = await run('rclone', ['check', '--download', source, 'P:synced'], { env })
          expect(check.code, check.stderr).toBe(0)
          const owners = await run('find', [join(root, 'home', user.name, 'synced'), '-not', '-uid', String(user.uid)])
          expect(owners.stdout).toBe('')
        }),
      )
    })

    it('aws: a key acts as the Unix user of its owner', async () => {
      const { server, alice, bob, root, folder } = site
      const key = await issueKey(server, alice.name, 'rw:/**')
      const env = clientEnvironment(folder, key)
      const aws = (...args: readonly string[]) => run('aws', ['--endpoint-url', server.url, ...args], { env })
      await writeFile(join(folder, 'big.bin'), Buffer.alloc(12 * 1024 * 1024, 'multipart '))
      const put = await aws('s3', 'cp', join(folder, 'big.bin'), `s3://home/${alice.name}/big.bin`)
      expect(put.code, put.stderr).toBe(0)
      expect(await onDisk(join(root, 'home', alice.name, 'big.bin'))).toMatch(new RegExp(` ${alice.uid} ${alice.gid}$`))
      const back = await aws('s3', 'cp', `s3://home/${alice.name}/big.bin`, join(folder, 'back.bin'))
      expect(back.code, back.stderr).toBe(0)
      expect((await run('cmp', [join(folder, 'big.bin'), join(folder, 'back.bin')])).code).toBe(0)
      const theft = await aws('s3', 'cp', `s3://home/${bob.name}/secret.txt`, join(folder, 'stolen'))
      expect(theft.code).not.toBe(0)
      expect(theft.stderr).toMatch(/403|404|AccessDenied|Not Found/)
      const listing = await aws('s3', 'ls', '--recursive', 's3://home/')
      expect(listing.stdout).toContain(`${alice.name}/big.bin`)
      expect(listing.stdout).not.toContain('secret.txt')
    })
  },
)

import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { eventually, namesBelow, run, startServer } from '../harness.js'
import { describeForeign } from './tools.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))

const oddNames = [
  '100% #?&=;+.txt',
  ' spaces ',
  'quote\'"<>\\',
  'new\nline',
  'caf\u00e9',
  '\u{1F600}\uff5e',
  'a'.repeat(255),
  '-dash',
  '...',
]

interface Counts {
  readonly copied: number
  readonly same: number
  readonly removed: number
  readonly failed: number
  readonly directories: number
}

describeForeign('postern copy between a directory and radosgw', cephNeeds, () => {
  let ceph: Ceph | undefined
  let home = ''
  let from = ''
  let files = 0

  beforeAll(async () => {
    ceph = await startCeph()
    home = mkdtempSync(join(tmpdir(), 'postern-copy-s3-'))
    from = join(home, 'from')
    const put = (name: string, bytes: Uint8Array | string): void => {
      mkdirSync(dirname(join(from, name)), { recursive: true })
      writeFileSync(join(from, name), bytes)
      files += 1
    }
    for (const name of oddNames) put(`odd/${name}`, name)
    put('odd/deep/%2F/x', 'x')
    put('empty file', '')
    put('large', randomBytes(20 * 2 ** 20))
    put('script', '#!')
    chmodSync(join(from, 'script'), 0o755)
    utimesSync(join(from, 'script'), 951_782_400, 951_782_400)
    mkdirSync(join(from, 'empty/within/empty'), { recursive: true })
    for (let index = 0; index < 2000; index++) put(`many/${index % 10}/${index}`, `number ${index}`)
  })

  afterAll(async () => {
    rmSync(home, { recursive: true, force: true })
    await ceph?.stop()
  })

  async function bucketUrl(prefix: string): Promise<string> {
    if (ceph === undefined) throw new Error('radosgw does not run')
    return ceph.url(await freshBucket(ceph), prefix)
  }

  async function copy(...args: readonly string[]): Promise<Counts> {
    const { code, stdout, stderr } = await run(process.execPath, [program, 'copy', ...args, '--json'])
    expect([code, stderr]).toEqual([0, ''])
    return JSON.parse(stdout) as Counts
  }

  /** Every name, files with the SHA-256 of what they hold. */
  async function checksums(directory: string): Promise<readonly string[]> {
    const lines: string[] = []
    for (const name of await namesBelow(directory)) {
      if (name.startsWith('.postern-')) continue
      const path = join(directory, name)
      const sum = statSync(path).isDirectory() ? 'directory' : createHash('sha256').update(readFileSync(path)).digest('hex')
      lines.push(`${JSON.stringify(name)} ${sum}`)
    } // prettier-ignore
    return lines
  }

  it('brings the same tree to S3 and back', async () => {
    const url = await bucketUrl('a tree/with a prefix')
    const back = join(home, 'back')
    expect(await copy(from, url, '--parallel', '16')).toMatchObject({ copied: files, same: 0, failed: 0 })
    expect(await copy(from, url)).toMatchObject({ copied: 0, same: files, directories: 0, failed: 0 })
    expect(await copy(url, back, '--parallel', '16', '--durability', 'fast')).toMatchObject({
      copied: files,
      failed: 0,
    })
    expect(await checksums(back)).toEqual(await checksums(from))
    const script = statSync(join(back, 'script'))
    expect([script.mode & 0o777, Math.floor(script.mtimeMs / 1000)]).toEqual([0o755, 951_782_400])
    expect(await copy(url, back)).toMatchObject({ copied: 0, same: files, failed: 0 })

    // What is only there goes, when asked; what has changed is brought.
    writeFileSync(join(back, 'only here'), 'x')
    rmSync(join(back, 'many/3'), { recursive: true })
    writeFileSync(join(back, 'large'), randomBytes(9 * 2 ** 20))
    expect(await copy(back, url, '--delete')).toMatchObject({ copied: 2, removed: 1, failed: 0 })
    const third = join(home, 'third')
    await copy(url, third, '--durability', 'fast')
    expect(await checksums(third)).toEqual(await checksums(back))
    const other = await bucketUrl('')
    expect(await copy(url, other, '--parallel', '16')).toMatchObject({ copied: files - 199, failed: 0 })
    const fourth = join(home, 'fourth')
    await copy(other, fourth, '--durability', 'fast')
    expect(await checksums(fourth)).toEqual(await checksums(back))
  })

  it('goes on where it was killed', async () => {
    const url = await bucketUrl('killed')
    const child = spawn(process.execPath, [program, 'copy', from, url, '--parallel', '4'], { stdio: 'ignore' })
    const ended = once(child, 'close')
    const seen = async (): Promise<number> => (await copy(url, join(home, 'seen'), '--dry-run')).copied
    await eventually('some objects', async () => (await seen()) > 20, 60_000)
    child.kill('SIGKILL')
    await ended
    const there = await seen()
    expect(there).toBeLessThan(files)
    const rest = await copy(from, url, '--parallel', '16')
    expect(rest).toMatchObject({ copied: files - there, same: there, failed: 0 })
    const back = join(home, 'whole')
    await copy(url, back, '--durability', 'fast')
    expect(await checksums(back)).toEqual(await checksums(from))
  })

  it('takes what a server knows of files along, to a bucket that it then serves', async () => {
    const url = await bucketUrl('served')
    const root = join(home, 'served')
    const type = 'application/x-of-its-own'
    const before = await startServer({ root, args: ['--state', `${root}.postern`] })
    await before.request('PUT', '/d/typed', { body: 'x' })
    await before.request('MKCOL', '/d')
    await before.request('PUT', '/d/typed', { body: 'x', headers: { 'Content-Type': type } })
    await before.stop()
    await copy(root, url)
    await using after = await startServer({
      mounts: true,
      config: `mounts: [{ path: /, local: ${join(home, 'empty root')} }, { path: /bucket, s3: ${JSON.stringify(url)} }]\n`,
    })
    const answer = await after.request('GET', '/bucket/d/typed')
    expect([answer.status, answer.text, answer.header('content-type')]).toEqual([200, 'x', type])

    // And over the border, there and back.
    const move = async (from: string, to: string): Promise<number> =>
      (await after.request('MOVE', from, { headers: { Destination: after.url + to } })).status
    expect(await move('/bucket/d/', '/d')).toBe(201)
    expect(readFileSync(join(home, 'empty root/d/typed'), 'utf8')).toBe('x')
    expect((await after.request('GET', '/bucket/d/typed')).status).toBe(404)
    expect(await move('/d/', '/bucket/again')).toBe(201)
    const back = await after.request('GET', '/bucket/again/typed')
    expect([back.status, back.text, back.header('content-type')]).toEqual([200, 'x', type])
    expect(await move('/bucket/', '/elsewhere')).toBe(403)
  })
})

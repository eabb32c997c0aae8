import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it } from 'vitest'
import { run } from '../harness.js'
import { describeForeign } from './tools.js'

const home = fileURLToPath(new URL('../..', import.meta.url))

describeForeign('the package, installed', ['program: npm', 'program: npx'], () => {
  const folders: string[] = []
  afterAll(async () => {
    for (const folder of folders) await rm(folder, { recursive: true, force: true })
  })

  it('serves a directory by npx', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'postern-package-'))
    folders.push(folder)
    // The program is built by now; `prepack` would build it again under the feet of other tests.
    const packed = await run('npm', ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder], {
      cwd: home,
    })
    expect(packed.code, packed.stderr).toBe(0)
    const [tarball] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'))
    await writeFile(join(folder, 'package.json'), '{"private":true}')
    const installed = await run('npm', ['install', '--omit=dev', '--no-audit', '--no-fund', `./${tarball}`], {
      cwd: folder,
    })
    expect(installed.code, installed.stderr).toBe(0)

    const child = spawn('npx', ['postern', 'serve', 'files', '--listen', '127.0.0.1:0'], {
      cwd: folder,
      env: { ...process.env, POSTERN_ADMIN_PASSWORD: 'installed-pw' },
      stdio: ['ignore', 'pipe', 'ignore'],
      detached: true,
    })
    try {
      const url = await listeningUrl(child.stdout)
      const headers = { authorization: `Basic ${Buffer.from('admin:installed-pw').toString('base64')}` }
      expect((await fetch(`${url}/a.txt`, { method: 'PUT', body: 'hello', headers })).status).toBe(201)
      expect(await (await fetch(`${url}/a.txt`, { headers })).text()).toBe('hello')
    } finally {
      // npx, its shell and the server are one group.
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGTERM')
    }
  })
})

async function listeningUrl(stdout: Readable): Promise<string> {
  let text = ''
  return new Promise((resolve, reject) => {
    stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      const found = /^listening (http:\/\/\S+)$/m.exec(text)?.[1]
      if (found !== undefined) resolve(found)
    })
    stdout.once('end', () => reject(new Error(`no listening line in: ${text}`)))
  })
}

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { eventually, format, namesBelow, startServer } from '../harness.js'

const size = 8_000_000
const oldContent = Buffer.alloc(size, 'o')
const newContent = Buffer.alloc(size, 'n')

/** Old, new, or something that must never be. */
function kindOf(content: Buffer | undefined): string {
  if (content === undefined) return 'absent'
  if (content.equals(oldContent)) return 'old'
  if (content.equals(newContent)) return 'new'
  return `a mix of ${content.length} bytes`
}

async function read(path: string): Promise<Buffer | undefined> {
  return await readFile(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
}

/** After a restart the sweep has left only these names. */
async function leaves(server: Server, names: readonly string[]): Promise<void> {
  await eventually(
    'nothing but files of users is left',
    async () => {
      const found = await namesBelow(server.root)
      return found.length === names.length && found.every((name) => names.includes(name))
    },
    20_000,
  ).catch(async (error: unknown) => {
    throw new Error(`found ${(await namesBelow(server.root)).join(', ')}`, { cause: error })
  })
}

describe('kill -9', () => {
  it.each(['old', 'absent'])('in the middle of a PUT over a file that is %s', async (before) => {
    await using server = await startServer()
    const target = join(server.root, 'folder', 'f')
    await mkdir(join(server.root, 'folder'))
    if (before === 'old') await writeFile(target, oldContent)
    const connection = await server.connect()
    const whole = format('PUT', '/folder/f', { as: ['admin', server.adminPassword], body: newContent }, server.port)
    // The kernel has taken so much only when the server has read most of it.
    await connection.send(whole.subarray(0, size - 100))
    await server.kill9()
    connection.destroy()
    expect(kindOf(await read(target))).toBe(before)
    await server.restart()
    expect((await server.request('GET', '/folder/f')).status).toBe(before === 'old' ? 200 : 404)
    expect(kindOf(await read(target))).toBe(before)
    await leaves(server, before === 'old' ? ['folder', 'folder/f'] : ['folder'])
  })

  it('around the commit of a PUT, at any moment', async () => {
    await using server = await startServer()
    const target = join(server.root, 'f')
    for (let round = 0; round < 8; round += 1) {
      await writeFile(target, oldContent)
      const connection = await server.connect()
      const whole = format('PUT', '/f', { as: ['admin', server.adminPassword], body: newContent }, server.port)
      await connection.send(whole)
      // The delay only varies the moment; every outcome is checked.
      await new Promise((resolve) => setTimeout(resolve, round * 3))
      const answered = connection
        .answer({ deadlineMs: 5000 })
        .then((answer) => answer.status)
        .catch(() => undefined)
      await server.kill9()
      const status = await answered
      connection.destroy()
      await server.restart()
      const kind = kindOf(await read(target))
      expect(['old', 'new']).toContain(kind)
      if (status !== undefined) expect([status, kind]).toEqual([204, 'new'])
      await leaves(server, ['f'])
    }
  })

  it.each(['COPY', 'MOVE'])('in the middle of a %s of a tree over another', async (method) => {
    await using server = await startServer()
    const names: string[] = []
    for (let folder = 0; folder < 40; folder += 1) {
      await mkdir(join(server.root, 'from', `d${folder}`), { recursive: true })
      await mkdir(join(server.root, 'to', `d${folder}`), { recursive: true })
      for (let file = 0; file < 25; file += 1) {
        const name = `d${folder}/f${file}`
        names.push(name)
        await writeFile(join(server.root, 'from', name), newText(name))
        await writeFile(join(server.root, 'to', name), oldText(name))
      }
    }
    const connection = await server.connect()
    const as = ['admin', server.adminPassword] as const
    // The login is done before, so that the kill meets the work itself.
    expect((await server.request('HEAD', '/from/')).status).toBe(200)
    await connection.send(format(method, '/from', { as, headers: { Destination: '/to' } }, server.port))
    await eventually('the work has begun', async () => {
      const first = (await read(join(server.root, 'to', names[0] ?? '')))?.toString()
      const last = (await read(join(server.root, 'to', names.at(-1) ?? '')))?.toString()
      return first !== oldText(names[0] ?? '') || last !== oldText(names.at(-1) ?? '')
    })
    await server.kill9()
    connection.destroy()
    await server.restart()

    for (const name of names) {
      const from = (await read(join(server.root, 'from', name)))?.toString()
      const to = (await read(join(server.root, 'to', name)))?.toString()
      expect([newText(name), undefined]).toContain(from)
      expect([newText(name), oldText(name), undefined]).toContain(to)
      if (method === 'COPY') expect(from, 'the source of a COPY stays').toBe(newText(name))
      else expect([from, to], 'a MOVE loses nothing').toContain(newText(name))
    }
    await eventually('no temp file is left', async () => {
      const allowed = new Set(['from', 'to', ...names, ...names.map((name) => name.split('/')[0] ?? '')])
      // A folder may go while it is looked into.
      const found = await namesBelow(server.root).catch(() => undefined)
      return found?.every((name) => allowed.has(name.replace(/^(?:from|to)\//, ''))) === true
    })
    expect((await server.request('PROPFIND', '/', { headers: { Depth: '1' } })).status).toBe(207)
    expect((await server.request('PUT', '/again', { body: 'x' })).status).toBe(201)
  })
})

const filler = 'x'.repeat(3000)

function newText(name: string): string {
  return `new ${name} ${filler}`
}

function oldText(name: string): string {
  return `old ${name} ${filler}`
}

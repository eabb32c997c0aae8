import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { connectTo, listenOnce } from './one-time.js'

let folder: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'one-time-'))
})

afterEach(() => {
  rmSync(folder, { recursive: true })
})

async function connected(path: string): Promise<Socket> {
  const socket = await connectTo(path)
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  return socket
}

/** What is read until the other side ends. */
async function textOf(socket: Socket): Promise<string> {
  let text = ''
  for await (const chunk of socket) text += String(chunk)
  return text
}

describe('a socket for a few connections', () => {
  it('is gone when too few have come in time, and those that came are closed', async () => {
    const { path, sockets } = await listenOnce(folder, { count: 2, timeoutMilliseconds: 30 })
    const only = await connected(path)
    await expect(sockets).rejects.toMatchObject({ kind: 'unavailable' })
    expect(await textOf(only)).toBe('')
    expect(readdirSync(folder)).toEqual([])
    await expect(connectTo(path)).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('is gone when it is not wanted any more, and nobody has to wait for that', async () => {
    const unwanted = await listenOnce(folder, { count: 1 })
    unwanted.close()
    unwanted.close()
    expect(existsSync(unwanted.path)).toBe(false)
  })

  it('takes no more than are wanted', async () => {
    const { path, sockets } = await listenOnce(folder, { count: 1 })
    const [first, second] = await Promise.allSettled([connected(path), connected(path)])
    const [accepted] = await sockets
    accepted?.end('for you')
    const heard = [first, second].map(async (one) => (one.status === 'fulfilled' ? textOf(one.value) : 'refused'))
    expect((await Promise.all(heard)).filter((text) => text === 'for you')).toHaveLength(1)
    expect(readdirSync(folder)).toEqual([])
  })

  it('cannot be made where there is no folder for it', async () => {
    await expect(listenOnce(join(folder, 'none'), { count: 1 })).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('has a path that nobody knows, and lets in whoever reaches it', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => listenOnce(folder, { count: 1 })))
    expect(one?.path).toMatch(/\/[0-9a-f]{24}$/)
    expect(one?.path).not.toBe(other?.path)
    expect(statSync(one?.path ?? '').mode & 0o777).toBe(0o666)
    one?.close()
    other?.close()
  })

  it('gives its connections in their order, and what they have said meanwhile is not lost', async () => {
    const { path, sockets } = await listenOnce(folder, { count: 2 })
    const link = await connected(path)
    link.write('first')
    const channel = await connected(path)
    channel.write('second')
    const [one, two] = await sockets
    link.end()
    channel.end()
    expect([await textOf(one as Socket), await textOf(two as Socket)]).toEqual(['first', 'second'])
  })
})

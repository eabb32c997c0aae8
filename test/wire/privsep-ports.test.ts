import { closeSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { loadNative } from '../../src/store/native.js'
import { canStartAsOthers } from '../other-users.js'
import { startPrivsepServer } from '../privsep-server.js'
import type { PrivsepServer } from '../privsep-server.js'

const native = loadNative()

/** A port below 1024 that is free now. */
function freeLowPort(): number {
  for (let port = 1023; port > 600; port -= 1) {
    const fd = native?.listenTcp('127.0.0.1', port) ?? -1
    if (fd < 0) continue
    closeSync(fd)
    return port
  }
  throw new Error('no port below 1024 is free')
}

function listeningSocketsOf(pid: number): number {
  const listening = new Set(
    ['tcp', 'tcp6'].flatMap(
      (table) =>
      readFileSync(`/proc/net/${table}`, 'utf8').split('\n').flatMap((line) => {
        const [, , , state, , , , , , inode] = line.trim().split(/\s+/)
        return state === '0A' ? [`socket:[${inode ?? ''}]`] : []
      }), // prettier-ignore
    ),
  )
  return readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return listening.has(readlinkSync(`/proc/${pid}/fd/${fd}`))
    } catch {
      return false
    }
  }).length
}

const isThere = async (server: PrivsepServer): Promise<boolean> =>
  server.request('GET', '/-/ready', { as: null }).then(
    ({ status }) => status === 200,
    () => false,
  )

describe.skipIf(!canStartAsOthers() || native === undefined)(
  'ports of a server of several users (for root only)',
  () => {
    let server: PrivsepServer | undefined

    afterEach(async () => {
      await server?.[Symbol.asyncDispose]()
      server = undefined
    })

    it.each([1, 2])(
      'may lie below 1024, and stay where they are when a front of %i processes is killed',
      async (workers) => {
        const port = freeLowPort()
        const started = await startPrivsepServer({
          config: { listen: [`127.0.0.1:${port}`], workers },
          listensAsConfigured: true,
        })
        server = started
        expect(started.port).toBe(port)
        expect(listeningSocketsOf(started.pid), 'the broker').toBe(0)
        const front = started.processes().find(({ part }) => part === 'front')
        process.kill(front?.pid ?? 0, 'SIGKILL')
        await expect.poll(() => isThere(started), { timeout: 20_000, interval: 50 }).toBe(true)
        expect(started.processes().find(({ part }) => part === 'front')?.pid).not.toBe(front?.pid)
      },
    )

    it('are picked once where they are picked by the system', async () => {
      const started = await startPrivsepServer()
      server = started
      const front = started.processes().find(({ part }) => part === 'front')
      process.kill(front?.pid ?? 0, 'SIGKILL')
      await expect.poll(() => isThere(started), { timeout: 20_000, interval: 50 }).toBe(true)
    })

    it('that another program has are named', async () => {
      const port = freeLowPort()
      const fd = native?.listenTcp('127.0.0.1', port) ?? -1
      try {
        await expect(
          startPrivsepServer({ config: { listen: [`127.0.0.1:${port}`] }, listensAsConfigured: true }),
        ).rejects.toThrow(`127.0.0.1:${port} is in use by another program`)
      } finally {
        closeSync(fd)
      }
    })
  },
)

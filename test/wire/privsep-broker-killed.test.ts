import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { afterAll, describe, expect, it } from 'vitest'
import { questionFrame } from '../../src/auth/pam/question.js'
import { brokerSocket, runtimePlaces } from '../../src/privsep/broker/runtime-directory.js'
import { openLink } from '../../src/privsep/wire/link.js'
import { connectTo } from '../../src/privsep/wire/one-time.js'
import { ticketOf, until } from '../broker-rig.js'
import { UnixUsers } from '../unix-users.js'

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const users = new UnixUsers()
const home = mkdtempSync(join(tmpdir(), 'killed-'))
afterAll(() => {
  users.cleanUp()
  rmSync(home, { recursive: true, force: true })
})

/** The parent of each process that runs. */
function parents(): ReadonlyMap<number, number> {
  return new Map(
    readdirSync('/proc').flatMap((name) => {
      try {
        const [state, parent] = readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /s, '')
          .split(' ')
        return state === 'Z' ? [] : [[Number(name), Number(parent)] as const]
      } catch {
        return []
      }
    }),
  )
}

describe.skipIf(process.getuid?.() !== 0)('a broker that is killed (for root only)', () => {
  it('takes all processes along, those that do not look at their links too', async () => {
    chmodSync(home, 0o755)
    const alice = users.add('alice', 'wonderland')
    const bundle = await rolldown({ input: here('../broker-program.ts'), platform: 'node', external: /^[^./]/ })
    const program = join(home, 'broker.mjs')
    await bundle.write({ file: program, format: 'esm' })
    await bundle.close()
    const broker = spawn(process.execPath, [program, home, here('../../bin/pam-helper.js')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      await once(broker.stdout, 'data')
      const places = runtimePlaces(join(home, 'run'))
      const told = { closed: { maxBytes: 1024, handle: () => undefined } }
      const link = async (path: string) =>
        openLink(await connectTo(path), { table: told, maxAnswerBytes: 65536, maxAtOnce: 8 })
      const [auth, front] = [await link(brokerSocket(places.auth)), await link(brokerSocket(places.front))]
      const { head } = await auth.ask('account', { user: alice })
      const helper = await connectTo(String((await auth.ask('pam')).head['path']))
      helper.write(questionFrame({ ask: 'account', user: alice }))
      await once(helper, 'data')
      const { path } = (await front.ask('worker', { ticket: ticketOf(head) })).head
      const worker = openLink(await connectTo(String(path)), { table: {}, maxAnswerBytes: 65536, maxAtOnce: 8 })
      const channel = await connectTo(String(path))
      await worker.ask('stay')
      const children = (): readonly number[] =>
        [...parents()].flatMap(([pid, parent]) => (parent === broker.pid ? [pid] : []))
      // Front, identities, a worker, its own process for accounts, and the one that was asked for.
      await until(() => children().length === 5)
      const all = children()
      broker.kill('SIGKILL')
      await until(() => !all.some((pid) => parents().has(pid)))
      expect(all.filter((pid) => existsSync(`/proc/${pid}`) && parents().has(pid))).toEqual([])
      for (const socket of [helper, channel]) socket.destroy()
    } finally {
      broker.kill('SIGKILL')
    }
  })
})

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo, Server as TcpServer, Socket } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { SMTPServer } from 'smtp-server'
import { afterEach, describe, expect, it } from 'vitest'
import { catalogOutbox } from '../../src/catalog/outbox.js'
import { openSqliteCatalog } from '../../src/catalog/sqlite.js'
import { installationSecret } from '../../src/config/installation-secret.js'
import { systemClock } from '../../src/core/clock.js'
import { checkedNotice } from '../../src/mail/notice.js'
import { eventually, run, startServer } from '../harness.js'
import type { Server, ServerOptions } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const servers: Server[] = []
const others: (() => void)[] = []

afterEach(async () => {
  for (const close of others.splice(0)) close()
  for (const server of servers.splice(0)) await server[Symbol.asyncDispose]()
})

async function started(options: ServerOptions): Promise<Server> {
  const server = await startServer({ ...options, config: `root: ./data\n${options.config ?? ''}` })
  servers.push(server)
  return server
}

interface ListedJob {
  readonly name: string
  readonly disabled: boolean
  readonly last?: { readonly result: string; readonly by: string; readonly began: string; readonly ended: string }
  readonly running?: { readonly by: string }
}

const jobsOfList = (server: Server) => server.cli(['jobs', 'list', '--json', '--config', server.configFile])

async function listed(server: Server): Promise<readonly ListedJob[]> {
  const { stdout } = await jobsOfList(server)
  return (JSON.parse(stdout) as { jobs: readonly ListedJob[] }).jobs
}

const jobsOf = (server: Server, ...args: readonly string[]) =>
  server.cli(['jobs', 'run', ...args, '--config', server.configFile])

describe('postern jobs', () => {
  it('refuses what it cannot do, in words', async () => {
    const server = await started({ config: '' })
    const wrong = await jobsOf(server, 'upload')
    expect([wrong.code, wrong.stderr]).toEqual([2, 'There is no job upload. There are: uploads, moves, stores, leftovers, deliver.\n']) // prettier-ignore
    expect((await jobsOf(server)).code).toBe(2)
    expect((await jobsOf(server, 'uploads', '--all')).code).toBe(2)
    const elsewhere = await run(process.execPath, [program, 'jobs', 'list', '--state', join(server.root, 'nowhere')], {
      cwd: server.root,
    })
    expect([elsewhere.code, elsewhere.stderr]).toEqual([1, expect.stringContaining('There is no state directory')])
  })

  it('refuses an export that everybody could read', async () => {
    const server = await started({ config: '' })
    const file = join(server.state, 'open.yaml')
    writeFileSync(file, 'anonymous: { grants: ["r:/**"] }\njobs: { auditExport: { to: /audit } }\n')
    const { code, stderr } = await server.cli(['check', '--config', file])
    expect([code, stderr]).toEqual([2, expect.stringMatching(/open\.yaml.*everybody may read \/audit without a login/)])
  })

  it('runs no job twice at a time where several commands want it', async () => {
    const one = await started({ config: 'jobs: off\n' })
    expect((await listed(one)).every(({ disabled, last }) => disabled && last === undefined)).toBe(true)
    const answers = await Promise.all([1, 2, 3].map(() => jobsOf(one, '--all', '--json')))
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0])
    const runs = new Map<string, Set<string>>()
    for (const { stdout } of answers)
      for (const { name, began, ended } of JSON.parse(stdout) as readonly {
        name: string
        began: string
        ended: string
      }[]) {
        const seen = runs.get(name) ?? new Set<string>()
        runs.set(name, seen.add(`${began} ${ended}`))
      }
    // Whoever came in the middle of a run has what that run gave; nobody ran into another's.
    for (const seen of runs.values()) {
      const times = [...seen].sort().map((text) => text.split(' '))
      times.forEach(([began = ''], index) => expect(began >= (times[index - 1]?.[1] ?? '')).toBe(true))
    }
  })

  it('puts the audit log of yesterday into the tree, for those who may read it', async () => {
    const server = await started({ config: 'jobs: { auditExport: { to: /admin/audit } }\n' })
    const yesterday = new Date(Date.now() - 24 * 3600 * 1000).toISOString()
    writeFileSync(join(server.state, 'audit.log.1'), `${JSON.stringify({ time: yesterday, event: 'made-up' })}\n`)
    expect(await jobsOf(server, 'audit-export')).toMatchObject({ code: 0, stdout: 'audit-export: days 1\n' })
    const listing = await server.request('GET', '/admin/audit', { headers: { accept: 'application/json' } })
    const { entries } = JSON.parse(listing.body.toString()) as { entries: readonly { name: string }[] }
    expect(entries.map(({ name }) => name)).toEqual([
      expect.stringMatching(`^${yesterday.slice(0, 10)}-.*\\.jsonl\\.gz$`),
    ])
    const target = `/admin/audit/${entries[0]?.name ?? ''}`
    expect(gunzipSync((await server.request('GET', target)).body).toString()).toContain('made-up')
    expect((await server.request('GET', target, { as: null })).status).toBe(401)
    const eve = await server.addUser('eve', 'rw:/eve/**')
    expect((await server.request('GET', target, { as: eve })).status).toBe(403)
  })

  it('sends a message once where two servers and a command are at it', async () => {
    const { port, taken } = await mailServer()
    const config = `mail: { from: files@example.org, smtp: { url: "smtp://127.0.0.1:${port}", tls: never } }\n`
    const one = await started({ config })
    const other = await started({ config, home: dirname(one.state) })
    await putMail(one)
    expect(await jobsOf(other, 'deliver')).toMatchObject({ code: 0 })
    await eventually('the mail was sent', () => taken.length > 0, 30_000)
    // Both servers have been at it by then.
    await putMail(one)
    await eventually('the next one too', () => taken.length > 1, 30_000)
    expect(taken).toHaveLength(2)
    const { outbox } = JSON.parse((await jobsOfList(one)).stdout) as { outbox: unknown }
    expect(outbox).toEqual({ waiting: 0, dead: 0 })
  }, 90_000)

  it('takes over the job of a process that was killed in the middle', async () => {
    const silent = await silentServer()
    const config = `jobs: off\nmail: { from: files@example.org, smtp: { url: "smtp://127.0.0.1:${silent.port}", tls: never } }\n`
    const server = await started({ config })
    await putMail(server)
    const dying = spawn(process.execPath, [program, 'jobs', 'run', 'deliver', '--config', server.configFile, '--state', server.state]) // prettier-ignore
    others.push(() => dying.kill('SIGKILL'))
    await silent.called
    expect((await listed(server)).find(({ name }) => name === 'deliver')?.running?.by).toMatch(
      new RegExp(`:${dying.pid}$`),
    )
    await killed(dying)
    // The server itself goes on as ever.
    expect((await server.request('PUT', '/a', { body: 'a' })).status).toBe(201)
    const again = await jobsOf(server, 'deliver', '--json')
    expect(again.code).toBe(0)
    expect(again.stderr).toContain('a job was taken over')
    expect((await listed(server)).find(({ name }) => name === 'deliver')).not.toHaveProperty('running')
  }, 90_000)
})

/** Puts a mail where the server's outbox is. */
async function putMail({ state }: Server): Promise<void> {
  const catalog = await openSqliteCatalog({
    file: join(state, 'catalog.sqlite'),
    clock: systemClock,
    durability: 'fast',
  })
  try {
    const secret = await installationSecret({ state })
    const values = { drop: 'in', key: 'k', size: '1', sha256: 'x', sender: 's', time: 't', server: 'v' }
    await catalogOutbox({ catalog, clock: systemClock, secret }).put({
      kind: 'mail',
      body: checkedNotice({ notice: 'drop', to: 'root@example.org', values }),
    })
  } finally {
    await catalog.close()
  }
}

/** A real server, which counts what it is given. */
async function mailServer(): Promise<{ readonly port: number; readonly taken: readonly string[] }> {
  const taken: string[] = []
  const server = new SMTPServer({
    disabledCommands: ['AUTH', 'STARTTLS'],
    logger: false,
    onData(stream, _session, done) {
      stream.resume().on('end', () => {
        taken.push('mail')
        done()
      })
    },
  })
  server.on('error', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server.server, 'listening')
  others.push(() => server.close())
  return { port: (server.server.address() as AddressInfo).port, taken }
}

/** Takes connections and says nothing. */
async function silentServer(): Promise<{ readonly port: number; readonly called: Promise<unknown> }> {
  const sockets: Socket[] = []
  const server: TcpServer = createServer((socket) => sockets.push(socket.on('error', () => undefined)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  others.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, called: once(server, 'connection') }
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

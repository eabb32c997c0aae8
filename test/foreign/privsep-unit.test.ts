import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { eventually, run } from '../harness.js'
import { installedProgram, openFolder, processesOf } from '../privsep-server.js'
import { UnixUsers } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'
import { privsepNeeds, sitePassword, unixStack } from './privsep-site.js'
import { describeForeign } from './tools.js'

const unit = fileURLToPath(new URL('../../deploy/systemd/postern-privsep.service', import.meta.url))

/** All values of a setting of the unit, in order. */
function settings(name: string): readonly string[] {
  const lines = [...readFileSync(unit, 'utf8').matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))]
  return lines.flatMap(([, value = '']) => value.split(/\s+/))
}

/** Prints what comes to a datagram socket, which Node cannot open, and which process has sent it. */
const receive = `
import socket, struct, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
s.bind(sys.argv[1])
print("bound")
while True:
    said, ancillary, _, _ = s.recvmsg(1000, socket.CMSG_SPACE(12))
    print(said.decode(), "from", struct.unpack("iii", ancillary[0][2])[0])
`

const needs = [...privsepNeeds, 'program: systemd-analyze', 'program: python3'] as const

describeForeign('the systemd unit', needs, () => {
  let folder: string
  let users: UnixUsers
  let alice: UnixUser
  let said: string
  const started: ChildProcess[] = []

  beforeEach(() => {
    folder = openFolder()
    users = new UnixUsers()
    alice = users.addWithHome(join(folder, 'home'), 'alice', sitePassword)
    said = ''
  })

  afterEach(async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const closed = new Promise((resolve) => child.once('close', resolve))
      // Whoever has too few rights may not be able to stop in order.
      const all = processesOf(child.pid ?? 0)
      child.kill('SIGTERM')
      const late = setTimeout(() => {
        for (const { pid } of all) killIfThere(pid)
      }, 5000)
      await closed
      clearTimeout(late)
    }
    users.cleanUp()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Starts what the unit starts, with no more rights than it gives; `handed` is a socket as a socket unit would give it. */
  function start(listen: string, handed?: Server): ChildProcess {
    const [program, ...args] = settings('ExecStart')
    expect([program, args.at(-1)]).toEqual(['/opt/postern/node_modules/.bin/postern', '/etc/postern/postern.yaml'])
    const file = join(folder, 'postern.yaml')
    const service = users.service('unit', unixStack)
    const mounts = [{ path: '/', local: '{home}' }]
    const identity = [{ pam: { service, grants: ['rw:/**'] } }]
    const places = { state: join(folder, 'state'), privsep: { runtime: join(folder, 'run') } }
    writeFileSync(file, JSON.stringify({ listen: [listen], ...places, mounts, identity }))
    const kept = settings('CapabilityBoundingSet').map((name) => `+${name.replace(/^CAP_/, '').toLowerCase()}`)
    const bounded = ['setpriv', `--bounding-set=-all,${kept.join(',')}`, '--']
    const command = [
      ...bounded,
      process.execPath,
      join(installedProgram(), 'bin/postern.js'),
      ...args.slice(0, -1),
      file,
    ]
    const env = {
      PATH: process.env.PATH,
      NOTIFY_SOCKET: join(folder, 'notify'),
      ...(handed && { LISTEN_FDS: '1', LISTEN_FDNAMES: 'web' }),
    }
    const descriptors = handed === undefined ? [] : [descriptorOf(handed)]
    // The shell becomes the program, and so has the number that LISTEN_PID must name.
    const child = spawn('sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...command], {
      cwd: '/',
      env,
      stdio: ['ignore', 'pipe', 'pipe', ...descriptors],
    })
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes: Buffer) => (said += bytes.toString()))
    started.push(child)
    return child
  }

  /** PUT as alice; gives the status. */
  async function put(url: string, name: string): Promise<number> {
    const authorization = `Basic ${Buffer.from(`${alice.name}:${alice.password}`).toString('base64')}`
    const answer = await fetch(`${url}/${name}`, { method: 'PUT', headers: { authorization }, body: 'of alice' })
    await answer.arrayBuffer()
    return answer.status
  }

  it('is understood by systemd, and so is that of its socket', async () => {
    const known = join(folder, 'postern-privsep.service')
    writeFileSync(known, readFileSync(unit, 'utf8').replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'))
    const socket = join(folder, 'postern-privsep.socket')
    copyFileSync(unit.replace(/service$/, 'socket'), socket)
    const { code, stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', known, socket])
    expect({ code, said: stdout + stderr }).toEqual({ code: 0, said: '' })
  })

  it('gives the rights that are needed, and is told when all is ready, reloaded and over', async () => {
    const receiver = spawn('python3', ['-uc', receive, join(folder, 'notify')])
    started.push(receiver)
    let told = ''
    receiver.stdout.on('data', (bytes: Buffer) => (told += bytes.toString()))
    await eventually('somebody listens to it', () => told.includes('bound'))
    const child = start('127.0.0.1:0')
    await eventually('it is told of the start', () => told.includes('READY=1') || child.exitCode !== null, 20_000)
    const bounds = /^CapBnd:\t(\w+)$/m.exec(readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8'))?.[1]
    expect(bounds, said).not.toBe(/^CapBnd:\t(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])
    const url = /^listening (\S+)$/m.exec(said)?.[1] ?? ''
    expect(await put(url, 'a.txt')).toBe(201)
    const { uid, gid } = statSync(join(alice.home, 'a.txt'))
    expect({ uid, gid }).toEqual({ uid: alice.uid, gid: alice.gid })
    const file = join(folder, 'postern.yaml')
    writeFileSync(file, readFileSync(file, 'utf8').replace(/}$/, ',"uniform403":true}'))
    child.kill('SIGHUP')
    await eventually('it is told that the reload is over', () => told.split('READY=1').length === 3)
    const worker = processesOf(child.pid ?? 0).find(({ part }) => part === 'worker')?.pid ?? 0
    // Without one of these rights setpriv says nothing, and takes nothing away.
    expect(readFileSync(`/proc/${worker}/status`, 'utf8')).toMatch(/^CapBnd:\t0+$/m)
    const program = join(installedProgram(), 'bin/postern.js')
    const sessions = (...args: readonly string[]): string =>
      execFileSync(process.execPath, [program, 'sessions', ...args, '--config', file], { encoding: 'utf8' })
    const [shown] = JSON.parse(sessions('--json')) as readonly { readonly user: string; readonly openFiles: number }[]
    expect(shown?.user).toBe(alice.name)
    expect(shown?.openFiles).toBeGreaterThan(3)
    // It does not see that its connection has ended, and must be killed.
    process.kill(worker, 'SIGSTOP')
    sessions('close', alice.name)
    await eventually('it has been killed', () => processesOf(child.pid ?? 0).every(({ pid }) => pid !== worker))
    expect(await put(url, 'b.txt')).toBe(201)
    child.kill('SIGTERM')
    await eventually('it has ended', () => child.exitCode !== null, 40_000)
    expect([child.exitCode, child.signalCode]).toEqual([0, null])
    await eventually('it is told of the stop', () => told.includes('STOPPING=1'))
    expect([...told.matchAll(/(READY|RELOADING|STOPPING)=1/g)].map(([, word]) => word)).toEqual(['READY', 'RELOADING', 'READY', 'STOPPING']) // prettier-ignore
    // To hear more than its main process, systemd would have to hear those of users, which are in the same unit.
    expect(settings('NotifyAccess')).toEqual(['main'])
    expect(new Set([...told.matchAll(/ from (\d+)$/gm)].map(([, pid]) => Number(pid)))).toEqual(new Set([child.pid]))
  })

  it('starts again after all was killed, where the folders of the processes are left', async () => {
    const child = start('127.0.0.1:0')
    await eventually('it serves', () => /^listening /m.test(said) || child.exitCode !== null, 20_000)
    const all = processesOf(child.pid ?? 0)
    child.kill('SIGKILL')
    await eventually('all have ended', () => all.every(({ pid }) => !isRunning(pid)))
    // What they leave depends on who ends first.
    writeFileSync(join(folder, 'run/door/left'), '')
    said = ''
    const next = start('127.0.0.1:0')
    await eventually('it serves again', () => /^listening /m.test(said) || next.exitCode !== null, 20_000)
    expect(said).toMatch(/^listening /m)
    expect(await put(/^listening (\S+)$/m.exec(said)?.[1] ?? '', 'd.txt'), said).toBe(201)
  })

  it('takes the socket of a socket unit', async () => {
    const socket = createServer()
    await new Promise<void>((resolve) => socket.listen(0, '127.0.0.1', resolve))
    const { port } = socket.address() as { readonly port: number }
    start('systemd:web', socket)
    await eventually('it serves', () => /^listening /m.test(said) || started[0]?.exitCode !== null, 20_000)
    // As long as this process has it too, it could be asked as well.
    await new Promise((resolve) => socket.close(resolve))
    expect(await put(`http://127.0.0.1:${port}`, 'c.txt'), said).toBe(201)
  })

  it('does not try again what is configured wrongly', async () => {
    mkdirSync(join(folder, 'state'))
    const child = start('here')
    await eventually('it has ended', () => child.exitCode !== null, 20_000)
    expect([String(child.exitCode)]).toEqual(settings('RestartPreventExitStatus'))
    expect(said).toContain('listen[0]: must be HOST:PORT')
  })
})

function descriptorOf(server: Server): number {
  const { _handle: handle } = server as unknown as { readonly _handle: { readonly fd: number } }
  return handle.fd
}

/** One that has ended and was not waited for by its new parent is over, too. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\t[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { spawnAs, type Spawned } from '../src/privsep/broker/spawn.js'
import type { WorkerMount, WorkerSettings } from '../src/privsep/settings.js'
import { issueTicket, type Ticket } from '../src/privsep/ticket.js'
import { listenOnce } from '../src/privsep/wire/one-time.js'

const repository = join(import.meta.dirname, '..')

/** Of processes that were started as somebody. */
export interface StartedWorker {
  /** Once both connections are made. */
  readonly process: Promise<Spawned>
  /** Both connections are to be made to it, within two seconds. */
  readonly path: string
  /** What it complains about. */
  readonly complaints: readonly string[]
  /** A ticket that it takes, but for what is said. */
  ticket(changes?: Partial<Ticket> & { readonly key?: Uint8Array }): string
}

/** Programs that stand for the process of a user; `close` ends all that were started. */
export class UnixWorkers {
  readonly folder: string
  readonly #started: Spawned[] = []

  private constructor(folder: string) {
    this.folder = folder
  }

  /** Builds the real one, where every user can read it. */
  static async open(): Promise<UnixWorkers> {
    const folder = mkdtempSync(join(tmpdir(), 'postern-unix-'))
    chmodSync(folder, 0o711)
    for (const name of ['bin', 'native', 'dist/program']) mkdirSync(join(folder, name), { recursive: true })
    copyFileSync(join(repository, 'bin/unix-worker.cjs'), join(folder, 'bin/unix-worker.cjs'))
    for (const name of readdirSync(join(repository, 'native')).filter((each) => each.endsWith('.node')))
      copyFileSync(join(repository, 'native', name), join(folder, 'native', name))
    await bundle('src/privsep/worker/main.ts', join(folder, 'dist/program/unix-worker.cjs'), 'cjs')
    return new UnixWorkers(folder)
  }

  /** Another program, of a file of this repository. */
  async program(file: string): Promise<string> {
    const built = join(this.folder, 'dist/program', `${file.replaceAll(/[^a-z]/g, '-')}.mjs`)
    await bundle(file, built)
    return built
  }

  async start({
    uid,
    as = uid,
    program,
    mounts = [],
    args = [],
    sweeps = false,
    now = Date.now(),
  }: Start): Promise<StartedWorker> {
    const key = Buffer.alloc(32, 7)
    const generation = 'ab'.repeat(8)
    const settings: WorkerSettings = {
      user: 'somebody',
      uid,
      key: key.toString('base64'),
      generation,
      umask: 0o022,
      home: undefined,
      mounts,
      sweeps,
    }
    const complaints: string[] = []
    const { path, sockets } = await listenOnce(this.folder, { count: 2, timeoutMilliseconds: 10_000 })
    const started = sockets.then((descriptors) => {
      const spawned = spawnAs(
        { uid: as, gid: as, groups: [] },
        {
          command: [process.execPath, program ?? join(this.folder, 'bin/unix-worker.cjs'), ...args],
          input: JSON.stringify(settings),
          descriptors,
          complain: (line) => complaints.push(line),
        },
      )
      this.#started.push(spawned)
      for (const socket of descriptors) socket.destroy()
      return spawned
    })
    started.catch(() => undefined)
    const ticket: StartedWorker['ticket'] = ({ key: other, ...changes } = {}) =>
      issueTicket(other ?? key, { user: 'somebody', uid, generation, expires: now + 600_000, ...changes })
    return { process: started, path, complaints, ticket }
  }

  async close(): Promise<void> {
    for (const spawned of this.#started) spawned.kill()
    await Promise.all(this.#started.map(({ gone }) => gone))
    rmSync(this.folder, { recursive: true })
  }
}

interface Start {
  readonly uid: number
  /** Who it really is. */
  readonly as?: number
  readonly mounts?: readonly WorkerMount[]
  /** Another program than the real one, and its arguments. */
  readonly program?: string
  readonly args?: readonly string[]
  readonly sweeps?: boolean
  readonly now?: number
}

async function bundle(input: string, file: string, format: 'cjs' | 'esm' = 'esm'): Promise<void> {
  const built = await rolldown({ cwd: repository, input, platform: 'node', external: /^node:/ })
  await built.write({ format, file })
  await built.close()
}

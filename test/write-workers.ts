import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { connectTo, listenOnce } from '../src/privsep/wire/one-time.js'
import { loadNative } from '../src/store/native.js'
import type { Notes } from '../src/store/local/notes.js'
import type { RoomOwner } from '../src/store/local/parts-folder.js'
import { type Front, frontOf } from './worker-pair.js'

/** What a process that lets files be written is told. */
export interface WorkerSpec {
  readonly root: string
  readonly durability: 'full' | 'fast'
  /** It passes open files. */
  readonly channel: boolean
  /** It is this user, of the group with the same number, whose home lies there in the store; only root can start such. */
  readonly owner?: RoomOwner
  /** It is killed where it would answer this. */
  readonly dies?: string
  /** It passes this file in place of the one that was asked for. */
  readonly passes?: { readonly path: string; readonly flags: number }
}

export interface WriteWorker extends Front {
  readonly child: ChildProcess
  /** Kills it, and resolves when it is gone. */
  kill(): Promise<void>
}

/** Real processes that let files be written; `close` ends all. */
export class WriteWorkers {
  readonly #folder: string
  readonly #workers: WriteWorker[] = []

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async open(): Promise<WriteWorkers> {
    const folder = mkdtempSync(join(tmpdir(), 'postern-workers-'))
    chmodSync(folder, 0o755)
    mkdirSync(join(folder, 'dist', 'program'), { recursive: true })
    const repository = join(import.meta.dirname, '..')
    symlinkSync(join(repository, 'native'), join(folder, 'native'))
    const bundle = await rolldown({
      cwd: repository,
      input: 'test/write-worker.ts',
      platform: 'node',
      external: /^[^./]/,
    })
    await bundle.write({ format: 'esm', file: join(folder, 'dist', 'program', 'worker.mjs') })
    await bundle.close()
    return new WriteWorkers(folder)
  }

  async start(spec: WorkerSpec, notes?: Notes): Promise<WriteWorker> {
    const { path, sockets } = await listenOnce(this.#folder, {
      count: spec.channel ? 2 : 1,
      timeoutMilliseconds: 10_000,
    })
    const socket = await connectTo(path)
    const channel = spec.channel ? loadNative()?.connectUnix(path) : undefined
    const [link, other] = await sockets
    const child = spawn(process.execPath, [join(this.#folder, 'dist', 'program', 'worker.mjs'), JSON.stringify(spec)], {
      stdio: ['ignore', 'inherit', 'inherit', link, other ?? 'ignore'],
      ...(spec.owner && { uid: spec.owner.uid, gid: spec.owner.uid }),
    })
    link?.destroy()
    other?.destroy()
    const gone = once(child, 'exit')
    const worker: WriteWorker = {
      ...frontOf(socket, { ...(notes && { notes }), channel }),
      child,
      async kill() {
        child.kill('SIGKILL')
        await gone
      },
    }
    this.#workers.push(worker)
    return worker
  }

  async close(): Promise<void> {
    for (const worker of this.#workers) {
      worker.link.close()
      await worker.kill()
    }
    rmSync(this.#folder, { recursive: true })
  }
}

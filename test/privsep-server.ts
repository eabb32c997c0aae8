import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Server, ServerOptions } from './harness.js'
import { startServer } from './harness.js'

/** What a process of a server is there for. */
export type Part = 'broker' | 'front' | 'auth' | 'worker' | 'pam'

export interface ServerProcess {
  readonly part: Part
  readonly pid: number
  /** Effective. */
  readonly uid: number
}

/** The real program as root with a process for each of its parts, from a folder that users cannot write to. */
export interface PrivsepServer extends Server {
  /** Those that run now. */
  processes(): readonly ServerProcess[]
  /** The process of a user; undefined where there is none. */
  workerOf(uid: number): number | undefined
  /** Where the sockets between its processes are. */
  readonly runtime: string
}

export interface PrivsepOptions extends Omit<ServerOptions, 'config' | 'home'> {
  /** The configuration; `privsep` of it is completed with folders of the test's own. */
  readonly config?: Readonly<Record<string, unknown>>
  /** The folder of another copy of the program. */
  readonly program?: string
}

/**
 * A folder below the system's for temporary files that every user may walk through: homes and served directories go
 * there. Removed by whoever made it.
 */
export function openFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pt-'))
  chmodSync(folder, 0o755)
  return folder
}

/** Starts `postern serve --privsep` on a free port and waits until it listens. For root only. */
export async function startPrivsepServer({ config = {}, ...options }: PrivsepOptions = {}): Promise<PrivsepServer> {
  const home = openFolder()
  const runtime = join(home, 'run')
  const root = options.root ?? join(home, 'data')
  mkdirSync(root, { recursive: true, mode: 0o755 })
  const privsep = { runtime, records: join(home, 'records'), ...(config.privsep as object | undefined) }
  const server = await startServer({
    ...options,
    root,
    home,
    program: join(options.program ?? installedProgram(), 'bin/postern.js'),
    config: JSON.stringify({ ...config, privsep }),
    args: ['--privsep', ...(options.args ?? [])],
  })
  const processes = (): readonly ServerProcess[] => processesOf(server.pid)
  return Object.defineProperties(server, {
    processes: { value: processes },
    workerOf: {
      value: (uid: number) => processes().find((each) => each.part === 'worker' && each.uid === uid)?.pid,
    },
    runtime: { value: runtime },
  }) as PrivsepServer
}

/** A process and all that it has started, and they. */
export function processesOf(broker: number): readonly ServerProcess[] {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const parent = /^\d+$/.test(name) ? parentOf(Number(name)) : undefined
    if (parent !== undefined) parents.set(Number(name), parent)
  }
  const isOne = (pid: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined; at = parents.get(at)) if (at === broker) return true
    return false
  }
  return [...parents.keys()].filter(isOne).flatMap((pid) => {
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      const uid = Number(/^Uid:\t\d+\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
      return [{ part: partOf(pid, broker, line), pid, uid }]
    } catch {
      // It has gone meanwhile.
      return []
    }
  })
}

function partOf(pid: number, broker: number, line: readonly string[]): Part {
  if (pid === broker) return 'broker'
  if (line.some((word) => word.includes('unix-worker'))) return 'worker'
  if (line.some((word) => word.includes('pam-helper'))) return 'pam'
  return line.includes('auth-process') ? 'auth' : 'front'
}

/** Undefined where there is no such process any more, or it has ended and nobody has asked how. */
function parentOf(pid: number): number | undefined {
  try {
    const [, state, parent] = /\) (\S) (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? []
    return state === 'Z' || parent === undefined ? undefined : Number(parent)
  } catch {
    return undefined
  }
}

/** Where the copy of the program is for the tests that a process has started. */
const programFolder = (pid: number): string => join(tmpdir(), `pt-program-${pid}`)

/**
 * A copy of the built program with the packages that it needs, which all users can read and only root can change: the
 * checkout may lie where they cannot go. One for all tests of a run; `removeProgram` takes it away.
 */
export function installedProgram(): string {
  const folder = programFolder(process.ppid)
  if (existsSync(folder)) return folder
  removeForgotten()
  const copy = openFolder()
  const checkout = fileURLToPath(new URL('..', import.meta.url))
  const lock = JSON.parse(readFileSync(join(checkout, 'package-lock.json'), 'utf8')) as PackageLock
  const packages = Object.entries(lock.packages).flatMap(([path, { dev }]) => (path === '' || dev === true ? [] : path))
  for (const part of ['bin', 'dist/program', 'native', 'package.json', ...packages]) {
    // A package for another system is not there.
    if (!existsSync(join(checkout, part))) continue
    cpSync(join(checkout, part), join(copy, part), { recursive: true, dereference: true })
  }
  try {
    renameSync(copy, folder)
  } catch {
    // Another test was faster.
    rmSync(copy, { recursive: true })
  }
  return folder
}

/** Removes the copy that the children of this process have used. */
export function removeProgram(): void {
  rmSync(programFolder(process.pid), { recursive: true, force: true })
}

/** Copies of runs that were killed. */
function removeForgotten(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^pt-program-(\d+)$/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

interface PackageLock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>
}

/**
 * Another copy of the program in which the processes of the user `uid` run `source` instead of their own program, which
 * reads its settings from standard input and talks by the descriptors 3 and 4. Whoever makes it removes it.
 */
export function programWithHostileWorker(uid: number, source: string): string {
  const folder = openFolder()
  cpSync(installedProgram(), folder, { recursive: true })
  const honest = join(folder, 'bin/unix-worker.cjs')
  renameSync(honest, join(folder, 'bin/honest-worker.cjs'))
  writeFileSync(join(folder, 'bin/hostile.js'), source)
  writeFileSync(honest, `void import(process.getuid() === ${uid} ? './hostile.js' : './honest-worker.cjs')\n`)
  return folder
}

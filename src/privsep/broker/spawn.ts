import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Socket } from 'node:net'
import { Failure } from '../../core/failure.js'

/** Whom a process belongs to, in numbers: no name is looked up on the way. */
export interface ProcessUser {
  readonly uid: number
  readonly gid: number
  /** All of them; the primary one may be among them. */
  readonly groups: readonly number[]
}

export interface SpawnOptions {
  /** A program, by its absolute path, and its arguments. */
  readonly command: readonly string[]
  /** All of it, beside `PATH`; what would change how Node runs is left out. */
  readonly environment?: Readonly<Record<string, string>>
  /** What it reads from its standard input, which ends then. */
  readonly input?: string
  /** Its descriptors from 3 on. A socket must not have been read from; it still belongs to the caller. */
  readonly descriptors?: readonly (Socket | number)[]
  /** Gets the first lines of its standard error, some kilobytes at most; without it they go where those of this process go. */
  readonly complain?: (line: string) => void
}

/** How a process has ended. */
export interface ProcessEnd {
  readonly code: number | undefined
  readonly signal: NodeJS.Signals | undefined
  /** It could not be started. */
  readonly error?: Error
}

/** A process that was started, in a session of its own: no terminal of this one is its own, and a signal there does not reach it. */
export interface Spawned {
  readonly pid: number | undefined
  /** Resolves when it is gone; never rejects. */
  readonly gone: Promise<ProcessEnd>
  readonly isGone: boolean
  /** SIGTERM, to it alone. */
  terminate(): void
  /** SIGKILL, to it and what it has started. */
  kill(): void
}

/** The kernel takes the highest number for "leave it as it is". */
const highestId = 0xfffffffe
/** All of them go into one argument, which the kernel bounds (execve(2), MAX_ARG_STRLEN). */
const mostGroups = 8192
const mostComplaintBytes = 16 * 1024
const complaintPauseMilliseconds = 1000
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
/** These change what a program does before its first line runs. */
const forbidden = /^(?:NODE_|UV_|LD_|BASH_ENV$|ENV$|OPENSSL_|SSLKEYLOGFILE$|GCONV_PATH$)/
const candidates = ['/usr/bin/setpriv', '/bin/setpriv', '/usr/sbin/setpriv', '/sbin/setpriv']

/** Where setpriv(1) of util-linux is. Throws `unsupported` where it is missing. */
export function setprivPath(): string {
  const found = candidates.find((candidate) => existsSync(candidate))
  if (found === undefined)
    throw new Failure('unsupported', 'To act as Unix users, Postern needs the program setpriv: install util-linux.')
  return found
}

/** Whether the kernel takes the number as the id of a user or group that is not root's. */
export function isOrdinaryId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id <= highestId
}

/**
 * The command that becomes `command` as this user, for good: all groups set, no capability left in any set, nothing to be
 * gained by running another program, ended with its parent. What becomes of the process before is setpriv's, so that none
 * of the command's own code ever runs as root. Throws `denied` for the user or a group of root.
 */
export function commandAs({ uid, gid, groups }: ProcessUser, command: readonly string[]): readonly string[] {
  if (![uid, gid, ...groups].every(isOrdinaryId) || groups.length > mostGroups)
    throw new Failure('denied', 'A process may not be started with these ids.')
  return [
    setprivPath(),
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--no-new-privs',
    '--pdeathsig=KILL',
    '--',
    ...command,
  ]
}

/** Starts a process as a user, in `/`. Throws `denied` for root's ids, `unsupported` where there is no setpriv. */
export function spawnAs(user: ProcessUser, options: SpawnOptions): Spawned {
  return spawnAsRoot({ ...options, command: commandAs(user, options.command) })
}

/** Starts a process that keeps what this one may do, in `/`. It must end by itself with its parent. */
export function spawnAsRoot({ command, environment, input, descriptors, complain }: SpawnOptions): Spawned {
  const [program = '', ...args] = command
  const child = spawn(program, args, {
    cwd: '/',
    env: cleanEnvironment(environment),
    stdio: [
      input === undefined ? 'ignore' : 'pipe',
      complain === undefined ? 'inherit' : 'ignore',
      complain === undefined ? 'inherit' : 'pipe',
      ...(descriptors ?? []),
    ],
    detached: true,
  })
  child.stdin?.on('error', () => undefined)
  child.stdin?.end(input)
  if (complain !== undefined) listen(child, complain)
  return new SpawnedChild(child)
}

/** What a process gets of these variables. */
export function cleanEnvironment(environment: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(environment).filter(([name]) => !forbidden.test(name))
  return { PATH: path, ...Object.fromEntries(kept) }
}

class SpawnedChild implements Spawned {
  readonly gone: Promise<ProcessEnd>
  readonly #child: ChildProcess
  #isGone = false

  constructor(child: ChildProcess) {
    this.#child = child
    this.gone = new Promise((resolve) => {
      const ended = (end: ProcessEnd): void => {
        this.#isGone = true
        resolve(end)
      }
      child.once('error', (error) => child.pid === undefined && ended({ code: undefined, signal: undefined, error }))
      child.once('exit', (code, signal) => ended({ code: code ?? undefined, signal: signal ?? undefined }))
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get isGone(): boolean {
    return this.#isGone
  }

  terminate(): void {
    this.#signal('SIGTERM', 1)
  }

  kill(): void {
    this.#signal('SIGKILL', -1)
  }

  /** Only while the number cannot belong to another process. */
  #signal(signal: NodeJS.Signals, group: 1 | -1): void {
    const { pid, exitCode, signalCode } = this.#child
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    try {
      process.kill(pid * group, signal)
    } catch {
      // It has gone by itself.
    }
  }
}

/** Whoever complains without end is read slowly, and no longer heard. */
function listen({ stderr }: ChildProcess, complain: (line: string) => void): void {
  let received = ''
  let left = mostComplaintBytes
  let isHeard = true
  const say = (line: string): void => {
    const plain = line.replace(/[\p{C}\u2028\u2029]+/gu, ' ').trim()
    if (plain !== '') complain(plain)
  }
  stderr?.setEncoding('utf8')
  stderr?.on('error', () => undefined)
  stderr?.on('data', (text: string) => {
    left -= text.length
    if (isHeard) {
      const lines = (received + text).split('\n')
      received = lines.pop() ?? ''
      for (const line of lines) say(line)
    }
    if (left > 0) return
    isHeard = false
    left = mostComplaintBytes
    stderr.pause()
    setTimeout(() => stderr.resume(), complaintPauseMilliseconds).unref()
  })
  stderr?.once('close', () => isHeard && say(received))
}

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Leaks } from './leaks.js'
import type { Answer } from './raw-http.js'
import { RawConnection } from './raw-http.js'

const builtProgram = fileURLToPath(new URL('../bin/postern.js', import.meta.url))

export interface ServerOptions {
  /** The served directory; a fresh one by default. A given one is not removed afterwards. */
  readonly root?: string
  /** The content of a `postern.yaml`. */
  readonly config?: string
  /** Serves what the configuration mounts: no directory is named. */
  readonly mounts?: true
  /** Listens where the configuration says, the first time on TCP, and not on a free port of its own. */
  readonly listensAsConfigured?: boolean
  /** Further arguments of `postern serve`. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** A folder for state, configuration and, where none is given, the served directory; removed with what is in it. */
  readonly home?: string
  /** Another copy of `bin/postern.js`. */
  readonly program?: string
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Who asks: the admin by default, nobody with `null`. */
export type Caller = readonly [name: string, password: string] | null

export interface RequestOptions {
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array
  /** Sent in pieces as `Transfer-Encoding: chunked`. */
  readonly chunks?: readonly (string | Uint8Array)[]
  readonly as?: Caller
}

/** The real program, serving a directory of its own. */
export interface Server {
  /** `http://127.0.0.1:PORT`, without a trailing slash. */
  readonly url: string
  readonly port: number
  readonly root: string
  readonly state: string
  /** Where `config` was written. */
  readonly configFile: string
  readonly adminPassword: string
  readonly pid: number
  /** Everything the current process has written to standard error. */
  stderr(): string
  /** Everything it has written to standard output. */
  stdout(): string
  /** One request on a connection of its own; the target goes out as given. */
  request(method: string, target: string, options?: RequestOptions): Promise<Answer>
  /** A connection for requests that are written by hand. */
  connect(): Promise<RawConnection>
  /** Adds a user by the command line and gives the caller. */
  addUser(name: string, ...grants: readonly string[]): Promise<readonly [string, string]>
  /** Runs the program with `--state` of this server. */
  cli(args: readonly string[], stdin?: string): Promise<Finished>
  /** SIGTERM; gives the exit code when it is gone. */
  stop(): Promise<number | null>
  /** Sends SIGTERM and does not wait. */
  terminate(): void
  kill9(): Promise<void>
  /** Resolves with the exit code. */
  exited(): Promise<number | null>
  /** Serves the same directory and state again, on the same port. */
  restart(): Promise<void>
  /** A secret that no log may show; those that go through this object are known already. */
  useSecret(secret: string): void
  /** Stops and removes what was made. Throws where a log has shown a secret. */
  [Symbol.asyncDispose](): Promise<void>
}

interface Running {
  readonly process: ChildProcess
  readonly port: number
  readonly url: string
  readonly exited: Promise<number | null>
  stderr: string
  stdout: string
}

/** Starts `bin/postern.js serve` on a free port and waits until it listens. */
export async function startServer(options: ServerOptions = {}): Promise<Server> {
  const home = options.home ?? (await mkdtemp(join(tmpdir(), 'postern-test-')))
  const program = options.program ?? builtProgram
  const root = options.root ?? join(home, 'data')
  const state = join(home, 'state')
  await mkdir(root, { recursive: true })
  const configFile = join(home, 'postern.yaml')
  const adminPassword = 'correct horse battery staple'
  const args = ['serve', ...(options.mounts === true ? [] : [root]), '--state', state, ...(options.args ?? [])]
  if (options.config !== undefined) {
    await writeFile(configFile, options.config)
    args.push('--config', configFile)
  }
  const env = { ...cleanEnvironment(), ...options.env, POSTERN_ADMIN_PASSWORD: adminPassword }
  const anywhere = options.listensAsConfigured === true ? [] : ['--listen', '127.0.0.1:0']
  let running = await launch([program, ...args, ...anywhere], env).catch(async (error: unknown) => {
    await rm(home, { recursive: true, force: true })
    throw error
  })

  const leaks = new Leaks()
  leaks.use(adminPassword)
  /** What earlier processes have said. */
  const said: Running[] = []
  const checkLogs = async (): Promise<void> => {
    for (const { stdout, stderr } of [...said, running]) {
      leaks.check('standard output', stdout)
      leaks.check('standard error', stderr)
    }
    for (const name of ['audit.log', 'audit.log.1']) {
      const text = await readFile(join(state, name), 'utf8').catch(() => '')
      leaks.check(name, text)
    }
  }

  const server: Server = {
    get url() {
      return running.url
    },
    get port() {
      return running.port
    },
    get pid() {
      return running.process.pid ?? 0
    },
    root,
    state,
    configFile,
    adminPassword,
    stderr: () => running.stderr,
    stdout: () => running.stdout,
    request: async (method, target, request = {}) => {
      for (const secret of secretsOf(request)) leaks.use(secret)
      const connection = await RawConnection.open(running.port)
      try {
        const bytes = format(method, target, { as: ['admin', adminPassword], ...request }, running.port, true)
        const sending = connection.trySend(bytes)
        const answer = await connection.answer({ method })
        await sending
        return answer
      } finally {
        connection.destroy()
      }
    },
    connect: () => RawConnection.open(running.port),
    addUser: async (name, ...grants) => {
      const password = `password of ${name}`
      const flags = grants.flatMap((grant) => ['--grant', grant])
      const done = await server.cli(['user', 'add', name, ...flags, '--password-stdin'], password + '\n')
      if (done.code !== 0) throw new Error(`postern user add ${name} failed: ${done.stderr}`)
      return [name, password]
    },
    cli: async (command, stdin = '') => {
      for (const line of stdin.split('\n')) leaks.use(line)
      // Where the catalog is, or the broker, only the configuration says.
      const more = /^(?:catalog|mounts):|"privsep":/m.test(options.config ?? '') ? ['--config', configFile] : []
      const done = await run(process.execPath, [program, ...command, '--state', state, ...more], { stdin, env })
      leaks.useShown(done.stdout)
      leaks.check('standard error of a command', done.stderr)
      return done
    },
    useSecret: (secret) => leaks.use(secret),
    stop: async () => {
      running.process.kill('SIGTERM')
      return await running.exited
    },
    terminate: () => void running.process.kill('SIGTERM'),
    kill9: async () => {
      running.process.kill('SIGKILL')
      await running.exited
    },
    exited: () => running.exited,
    restart: async () => {
      said.push(running)
      running = await launch([program, ...args, '--listen', `127.0.0.1:${running.port}`], env)
    },
    [Symbol.asyncDispose]: async () => {
      running.process.kill('SIGTERM')
      const patience = setTimeout(() => running.process.kill('SIGKILL'), 10_000)
      await running.exited
      clearTimeout(patience)
      try {
        await checkLogs()
      } finally {
        await rm(home, { recursive: true, force: true })
      }
    },
  }
  return server
}

/** The bytes of a request; `Host`, `Content-Length` and `Authorization` are added where they are not given. */
export function format(
  method: string,
  target: string,
  options: RequestOptions,
  port: number,
  close = false,
): Uint8Array {
  const given = new Set(Object.keys(options.headers ?? {}).map((name) => name.toLowerCase()))
  const lines = [`${method} ${target} HTTP/1.1`]
  if (!given.has('host')) lines.push(`Host: 127.0.0.1:${port}`)
  if (options.as && !given.has('authorization')) lines.push(`Authorization: ${basic(options.as)}`)
  if (close && !given.has('connection')) lines.push('Connection: close')
  for (const [name, values] of Object.entries(options.headers ?? {}))
    for (const value of typeof values === 'string' ? [values] : values) lines.push(`${name}: ${value}`)
  const pieces: Buffer[] = []
  if (options.chunks !== undefined) {
    lines.push('Transfer-Encoding: chunked')
    for (const chunk of options.chunks) {
      const bytes = Buffer.from(chunk)
      if (bytes.length > 0) pieces.push(Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from('\r\n'))
    }
    pieces.push(Buffer.from('0\r\n\r\n'))
  } else if (options.body !== undefined) {
    const bytes = Buffer.from(options.body)
    if (!given.has('content-length')) lines.push(`Content-Length: ${bytes.length}`)
    pieces.push(bytes)
  } else if (method === 'PUT' && !given.has('content-length') && !given.has('transfer-encoding'))
    lines.push('Content-Length: 0')
  return Buffer.concat([Buffer.from(lines.join('\r\n') + '\r\n\r\n', 'latin1'), ...pieces])
}

/** What a request shows to be let in. */
function secretsOf({ as, headers = {} }: RequestOptions): readonly string[] {
  const shown = Object.entries(headers).flatMap(([name, values]) => {
    const value = typeof values === 'string' ? values : values.join(' ')
    if (/^x-api-secret$/i.test(name)) return [value]
    const [, scheme = '', text = ''] = (/^authorization$/i.test(name) && /^(Basic|Bearer) +(\S+)/i.exec(value)) || []
    if (/^basic$/i.test(scheme))
      return [
        Buffer.from(text, 'base64')
          .toString()
          .replace(/^[^:]*:/, ''),
      ]
    return text === '' ? [] : [text]
  })
  return as ? [as[1], ...shown] : shown
}

/** The value of an `Authorization` header (RFC 7617). */
export function basic([name, password]: readonly [string, string]): string {
  return 'Basic ' + Buffer.from(`${name}:${password}`).toString('base64')
}

/** Runs a program to its end. */
export async function run(
  command: string,
  args: readonly string[],
  options: {
    readonly stdin?: string
    readonly env?: NodeJS.ProcessEnv
    readonly cwd?: string
    readonly timeoutMs?: number
  } = {},
): Promise<Finished> {
  return await new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      timeout: options.timeoutMs ?? 120_000,
      killSignal: 'SIGKILL',
    })
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString('utf8')))
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString('utf8')))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.stdin ?? '')
  })
}

/** Polls until the condition holds; fails after the deadline with the name of what did not come true. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Every name below a directory, hidden ones too, relative and sorted. */
export async function namesBelow(directory: string): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.map((entry) => relative(directory, join(entry.parentPath, entry.name))).sort()
}

/** The environment without anything that would change what the program does. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(POSTERN_|VITEST|NODE_OPTIONS$|AUTH_TOKEN$|CDN_TOKEN)/.test(name),
    ),
  )
}

async function launch(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Running> {
  if (!existsSync(builtProgram)) throw new Error('bin/postern.js is missing')
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const running: { stderr: string; stdout: string } = { stderr: '', stdout: '' }
  const exited = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)))
  child.stderr.on('data', (bytes: Buffer) => (running.stderr += bytes.toString('utf8')))
  const url = await new Promise<string>((resolve, reject) => {
    const patience = setTimeout(() => {
      child.kill('SIGKILL')
      reject(new Error(`the server did not say that it listens:\n${running.stdout}\n${running.stderr}`))
    }, 30_000)
    child.stdout.on('data', (bytes: Buffer) => {
      running.stdout += bytes.toString('utf8')
      const found = /^listening (https?:\/\/\S+)$/m.exec(running.stdout)?.[1]
      if (found === undefined || !running.stdout.slice(running.stdout.indexOf(found)).includes('\n')) return
      clearTimeout(patience)
      resolve(found.replace(/\/$/, ''))
    })
    void exited.then((code) => {
      clearTimeout(patience)
      reject(new Error(`the server ended with ${String(code)}:\n${running.stdout}\n${running.stderr}`))
    })
  })
  return Object.assign(running, { process: child, port: Number(new URL(url).port), url, exited })
}

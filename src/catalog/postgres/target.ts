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
 * `dsql://ID.dsql.REGION.on.aws[/DATABASE][?user=…]`. Throws `invalid` for anything else; no message holds the password.
 */
export function postgresTarget(url: string): PostgresTarget {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  switch (parsed?.protocol) {
    case 'postgres:':
    case 'postgresql:':
      return postgresOf(parsed)
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

function postgresOf(url: URL): PostgresTarget {
  const given = parametersOf(url, parameters)
  const host = given.get('host') ?? decoded(url.hostname.replace(/^\[(.*)\]$/, '$1'))
  const user = given.get('user') ?? decoded(url.username)
  const password = given.get('password') ?? decoded(url.password)
  const database = decoded(url.pathname.slice(1)) || user
  if (host === '') throw invalid('names no host')
  if (user === '') throw invalid('names no user')
  return {
    dialect: 'postgres',
    host,
    port: url.port === '' ? 5432 : Number(url.port),
    database,
    user,
    ...(password !== '' && { password }),
    tls: host.startsWith('/') ? { mode: 'off' } : tlsOf(given.get('sslmode') ?? 'prefer', given.get('sslrootcert')),
  }
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

function tlsOf(word: string, file: string | undefined): PostgresTls {
  const mode = tlsModes.get(word)
  if (mode === undefined) throw invalid(`has an sslmode that is none of ${[...tlsModes.keys()].join(', ')}`)
  if (file === undefined || file === 'system') return { mode }
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

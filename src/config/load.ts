import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import type * as Yaml from 'yaml'
import { Failure } from '../core/failure.js'
import type { SurfaceName } from '../gateway/surface.js'
import type { FrontSettings, PrivsepSettings } from '../privsep/settings.js'
import { parseEndpoint } from '../transport/endpoint.js'
import type { Endpoint } from '../transport/endpoint.js'
import type { HandedSocket } from '../transport/open-endpoint.js'
import { checkDrops, dropboxEnvironment, withToken } from './dropbox-environment.js'
import type { DropboxEnvironment } from './dropbox-environment.js'
import { handedSockets } from './environment.js'
import { identitySettings } from './identity/entry.js'
import type { IdentitySetting } from './identity/entry.js'
import { environmentTable } from './identity/pam-line.js'
import { mountSettings } from './mount-settings.js'
import type { LocalMount, MountSetting } from './mount-settings.js'
import { isPerUser, mountDirectory, privsepSettings } from './privsep-settings.js'
import { problemsIn } from './problems.js'
import { configKeys, configSchema, variableOf } from './schema.js'
import type { Settings } from './schema.js'
import { checkExport } from './schema-jobs.js'
import { mailSettings } from './schema-mail.js'
import { webhookSettings } from './schema-webhooks.js'
import { closest } from './similar.js'

/** A setting that was given on the command line. */
export interface FlagSetting {
  /** As it is written: `--listen`. */
  readonly flag: string
  readonly value: unknown
}

export interface ConfigSources {
  /** What paths on the command line and in the environment are relative to. */
  readonly directory: string
  /** The configuration file; without it `postern.yaml` in the directory, where there is one. */
  readonly file?: string | undefined
  readonly environment: Readonly<Record<string, string | undefined>>
  /** By top-level key. */
  readonly flags: Readonly<Record<string, FlagSetting | undefined>>
}

export interface ListenSetting {
  /** What requests say of where they came in. */
  readonly name: string
  readonly at: Endpoint
  /** What it speaks; everything where this is empty. */
  readonly surfaces: readonly SurfaceName[]
  readonly tls: boolean
  /** Permissions of a Unix socket; the umask decides without. */
  readonly mode?: number
}

/** Settings that have been understood: paths are absolute, defaults are filled in. */
export interface Config extends Omit<Settings, 'listen' | 'root' | 'mounts' | 'state' | 'identity' | 'privsep'> {
  /** The file that was read. */
  readonly file: string | undefined
  readonly listen: readonly ListenSetting[]
  /** Sockets that came with this process, for the endpoints that ask for them. */
  readonly handed: readonly HandedSocket[]
  /** What makes up the tree; never empty. */
  readonly mounts: readonly MountSetting[]
  /** The directory of the one mount, where it came from `root` and no mounts are set. */
  readonly root: string | undefined
  readonly state: string
  /** Absent: one user does everything. */
  readonly privsep?: PrivsepSettings
  /** Never loaded: whoever separates processes gives it to the one on the network. */
  readonly front?: FrontSettings
  /** In the order in which they are asked. */
  readonly identity: readonly IdentitySetting[]
  /** What every drop takes beside its own tokens. */
  readonly dropbox: Pick<DropboxEnvironment, 'token' | 'lock'>
  /** What is odd but no error. */
  readonly warnings: readonly string[]
}

/** Where each top-level key was set, for messages and for what its paths are relative to. */
interface Origin {
  readonly directory: string
  describe(path: readonly PropertyKey[]): string
}

/**
 * The configuration file, the environment and the command line as one configuration; later ones win, key by key. Throws
 * `invalid` with a line for each problem: `postern.yaml:12: publicOrigins: must be …`.
 */
export function loadConfig(sources: ConfigSources): Config {
  const origins = new Map<string, Origin>()
  const merged: Record<string, unknown> = {}
  const file = fileOf(sources)
  let document: ReadDocument | undefined
  if (file !== undefined) {
    document = readDocument(file.path, file.shown)
    for (const [key, value] of Object.entries(document.values)) set(key, value, document.origin)
  }
  for (const key of configKeys) {
    const text = sources.environment[variableOf(key)]
    if (text === undefined || text === '') continue
    const describe = (path: readonly PropertyKey[]): string => `${variableOf(key)}:${inner(path)}`
    set(key, parseVariable(key, text), { directory: sources.directory, describe })
  }
  for (const [key, given] of Object.entries(sources.flags)) {
    // A flag that turns it on leaves what the file says of it.
    if (given === undefined || (key === 'privsep' && typeof merged[key] === 'object')) continue
    set(key, given.value, { directory: sources.directory, describe: (path) => `${given.flag}:${inner(path)}` })
  }

  const table = merged['identity'] === undefined ? environmentTable(sources.environment) : undefined
  if (table !== undefined) {
    const describe = (): string => 'REGION, TABLE, REALM, CACHE_FOLDER, CACHE_DURATION:'
    set('identity', [{ dynamodb: table }], { directory: sources.directory, describe })
    // As the old container says it: programs keep passwords by this text.
    merged['basicRealm'] ??= 'private area'
  }

  const dropbox = dropboxEnvironment(sources.environment)
  if (dropbox.token !== undefined) merged['identity'] = withToken(merged['identity'] ?? ['catalog'], dropbox.token)
  if (dropbox.lock !== undefined && file === undefined && merged['originLock'] === undefined) {
    const describe = (): string => 'CDN_TOKEN, CDN_TOKEN_HTTP_HEADER_NAME:'
    set('originLock', dropbox.lock, { directory: sources.directory, describe })
  }

  // Compiled code would pay only for who parses again and again.
  const parsed = configSchema.safeParse(merged, { jitless: true })
  if (!parsed.success) throw new Failure('invalid', problemLines(parsed.error.issues, origins, document).join('\n'))
  checkDrops(parsed.data, dropbox, (key) => origins.get(key)?.describe([key]) ?? `${key}:`)
  const { token, lock } = dropbox
  return {
    ...resolved(parsed.data, origins, sources),
    dropbox: { ...(token && { token }), ...(lock && { lock }) },
    file: file?.path,
    handed: handedSockets(sources.environment, process.pid),
    warnings: [...strayVariables(sources.environment), ...dropbox.warnings],
  }

  function set(key: string, value: unknown, origin: Origin): void {
    merged[key] = value
    origins.set(key, origin)
  }
}

function fileOf({ file, directory, environment }: ConfigSources): { path: string; shown: string } | undefined {
  const named = file ?? (environment.POSTERN_CONFIG === '' ? undefined : environment.POSTERN_CONFIG)
  if (named !== undefined) return { path: resolve(directory, named), shown: named }
  const usual = join(directory, 'postern.yaml')
  return existsSync(usual) ? { path: usual, shown: 'postern.yaml' } : undefined
}

interface ReadDocument {
  readonly values: Readonly<Record<string, unknown>>
  readonly origin: Origin
}

/** Loaded only where there is something to read: a server without a file starts sooner. */
function yaml(): typeof Yaml {
  return createRequire(import.meta.url)('yaml') as typeof Yaml
}

function readDocument(path: string, shown: string): ReadDocument {
  const { LineCounter, parseDocument } = yaml()
  const lines = new LineCounter()
  const document = parseDocument(readText(path, shown), { lineCounter: lines, prettyErrors: false })
  const at = (offset: number | undefined): string =>
    offset === undefined ? shown : `${shown}:${lines.linePos(offset).line}`
  if (document.errors.length > 0)
    throw new Failure('invalid', document.errors.map((error) => `${at(error.pos[0])}: ${error.message}`).join('\n'))
  const values: unknown = document.toJS()
  if (values !== null && (typeof values !== 'object' || Array.isArray(values)))
    throw new Failure('invalid', `${at(0)}: must be a group of keys such as "root: ./data"`)
  return {
    values: { ...values },
    origin: { directory: dirname(path), describe: (where) => `${at(offsetOf(document, where))}: ${dotted(where)}:` },
  }
}

function readText(path: string, shown: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw new Failure('invalid', `${shown}: cannot be read (${code}).`, { cause })
  }
}

function parseVariable(key: string, text: string): unknown {
  try {
    return yaml().parse(text)
  } catch (cause) {
    throw new Failure('invalid', `${variableOf(key)}: is not valid YAML; put text with special characters in quotes`, {
      cause,
    })
  }
}

/** Where a value stands in the file: at its key where it has one, for that is what a reader looks for. */
function offsetOf(document: Yaml.Document, path: readonly PropertyKey[]): number | undefined {
  const { isMap, isScalar } = yaml()
  for (let depth = path.length; depth > 0; depth -= 1) {
    const parent: unknown = document.getIn(path.slice(0, depth - 1), true)
    const last = path[depth - 1]
    if (isMap(parent)) {
      const pair = parent.items.find(({ key }) => isScalar(key) && key.value === last)
      if (isScalar(pair?.key) && pair.key.range) return pair.key.range[0]
    }
    const node: unknown = document.getIn(path.slice(0, depth), true)
    if (hasRange(node)) return node.range[0]
  }
  return undefined
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range)
}

function problemLines(
  issues: Parameters<typeof problemsIn>[0],
  origins: ReadonlyMap<string, Origin>,
  document: ReadDocument | undefined,
): readonly string[] {
  return problemsIn(issues).map(({ path, message }) => {
    const origin = origins.get(String(path[0])) ?? document?.origin
    return `${origin === undefined ? `${dotted(path)}:` : origin.describe(path)} ${message}`
  })
}

function resolved(
  settings: Settings,
  origins: ReadonlyMap<string, Origin>,
  { directory, environment }: Pick<ConfigSources, 'directory' | 'environment'>,
): Omit<Config, 'file' | 'handed' | 'warnings' | 'dropbox'> {
  const from = (key: string): string => origins.get(key)?.directory ?? directory
  const { root: given, mounts: listed, privsep, ...others } = settings
  const root = mountDirectory(given, from('root'))
  const mounts = mountSettings(
    listed,
    { ...others, directory: root, separated: settings.privsep !== undefined },
    {
      root: origins.get('root')?.describe(['root']),
      describe: (index) => origins.get('mounts')?.describe(['mounts', index]) ?? 'mounts:',
      directory: from('mounts'),
      environment,
    },
  )
  for (const [index, mount] of mounts.entries())
    if (mount.kind === 'local' && !mount.separated && isPerUser(mount))
      throw new Failure(
        'invalid',
        `${origins.get(listed === undefined ? 'root' : 'mounts')?.describe(listed === undefined ? ['root'] : ['mounts', index]) ?? 'root:'} {user} and {home} need privilege separation: start the server with --privsep as root`,
      )
  const local = mounts.filter((mount): mount is LocalMount => mount.kind === 'local')
  const disks = local.filter((mount) => !isPerUser(mount))
  for (const [index, { directory: served, path }] of disks.entries()) {
    const other = disks.find((each, at) => at !== index && isInside(realPath(served), realPath(each.directory)))
    if (other !== undefined)
      throw new Failure(
        'invalid',
        `${origins.get('mounts')?.describe(['mounts']) ?? 'mounts:'} the directory at ${path} lies within that at ${other.path}: a file would have two paths, and locks hold for one`,
      )
  }
  const beside =
    disks.find(({ path }) => path === '/')?.directory ?? (isPerUser({ directory: root }) ? undefined : root)
  if (beside === undefined && settings.state === undefined)
    throw new Failure(
      'invalid',
      `${origins.get('root')?.describe(['root']) ?? 'root:'} there is a directory for each user, so say where the state is: --state, or state: /var/lib/postern`,
    )
  const state = settings.state === undefined ? `${beside ?? root}.postern` : resolve(from('state'), settings.state)
  const where = origins.get('state')?.describe(['state']) ?? 'state:'
  for (const { directory: served } of disks)
    if (isInside(realPath(state), realPath(served)))
      throw new Failure(
        'invalid',
        `${where} must not lie inside the served directory ${served}; name another place with --state`,
      )
  if (settings.catalog !== undefined && settings.secret === undefined)
    throw new Failure(
      'invalid',
      `${origins.get('catalog')?.describe(['catalog']) ?? 'catalog:'} needs a secret that all instances share: set secret to { env: NAME } or { file: FILE } (openssl rand -base64 32)`,
    )
  checkExport(settings, privsep !== undefined, origins.get('jobs')?.describe(['jobs', 'auditExport']) ?? 'jobs:')
  const names = new Map<string, number>()
  return {
    ...others,
    mounts,
    root: listed === undefined ? root : undefined,
    state,
    ...(privsep !== undefined && {
      privsep: privsepSettings(privsep, {
        state,
        directory: from('privsep'),
        where: origins.get('privsep')?.describe(['privsep']) ?? 'privsep:',
        servedAround: (path) => disks.find((mount) => isInside(realPath(path), realPath(mount.directory)))?.directory,
      }),
    }),
    ...(settings.secret !== undefined && { secret: secretSetting(settings.secret, from('secret')) }),
    webhooks: webhookSettings(settings.webhooks, from('webhooks')),
    ...(settings.mail !== undefined && { mail: mailSettings(settings.mail, from('mail')) }),
    identity: sources(settings.identity, from('identity'), origins.get('identity')),
    publicOrigins: settings.publicOrigins.map((origin) => origin.toLowerCase()),
    listen: settings.listen.map((entry) => listenSetting(entry, from('listen'), settings.tls !== undefined, names)),
    ...(typeof settings.tls === 'object' && {
      tls: { cert: resolve(from('tls'), settings.tls.cert), key: resolve(from('tls'), settings.tls.key) },
    }),
  }
}

function isInside(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory.endsWith('/') ? directory : `${directory}/`)
}

function secretSetting(setting: NonNullable<Settings['secret']>, directory: string): NonNullable<Settings['secret']> {
  return 'file' in setting ? { file: resolve(directory, setting.file) } : setting
}

function sources(
  entries: Settings['identity'],
  directory: string,
  origin: Origin | undefined,
): readonly IdentitySetting[] {
  const settings = identitySettings(entries, directory)
  settings.forEach(({ name }, index) => {
    if (settings.findIndex((other) => other.name === name) === index) return
    const where = origin?.describe(['identity', index]) ?? 'identity:'
    throw new Failure('invalid', `${where} there is a source ${name} already; give this one another name: { name: … }`)
  })
  return settings
}

function listenSetting(
  entry: Settings['listen'][number],
  directory: string,
  tls: boolean,
  names: Map<string, number>,
): ListenSetting {
  const given = typeof entry === 'string' ? { at: entry } : entry
  const at = parseEndpoint(given.at)
  if (at === undefined) throw new Failure('invalid', `listen: ${given.at} must be HOST:PORT, unix:PATH or systemd`)
  const count = (names.get(given.at) ?? 0) + 1
  names.set(given.at, count)
  return {
    name: count === 1 ? given.at : `${given.at} (${count})`,
    at: at.kind === 'unix' ? { kind: 'unix', path: resolve(directory, at.path) } : at,
    surfaces: given.surfaces ?? [],
    tls: at.kind !== 'unix' && tls && given.tls !== false,
    ...(at.kind === 'unix' && given.mode !== undefined && { mode: Number.parseInt(given.mode, 8) }),
  }
}

/** The path with every link in the part of it that exists followed. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realPath(parent), path.slice(parent.length))
  }
}

/** Variables that look like a slip of the pen; others may belong to someone else. */
function strayVariables(environment: ConfigSources['environment']): readonly string[] {
  const known = [...configKeys.map(variableOf), 'POSTERN_ADMIN_PASSWORD', 'POSTERN_CONFIG']
  return Object.keys(environment)
    .filter((name) => name.startsWith('POSTERN_') && !known.includes(name))
    .flatMap((name) => {
      const meant = closest(name, known)
      return meant === undefined ? [] : [`${name} is not a setting; did you mean ${meant}?`]
    })
}

function dotted(path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (text, part) =>
      typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`,
    '',
  )
}

/** What is below a top-level key, for messages that already name the key in another way. */
function inner(path: readonly PropertyKey[]): string {
  return path.length < 2 ? '' : ` ${dotted(path.slice(1))}:`
}

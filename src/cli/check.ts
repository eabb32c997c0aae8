import type { Command } from 'commander'
import { compileGrants } from '../auth/grant.js'
import { rightsOfMethods } from '../auth/method-rights.js'
import { identityKinds } from '../config/identity/kinds.js'
import { shownCatalog } from '../config/catalogs.js'
import { shownMounts } from '../config/mount-settings.js'
import { examine } from '../config/setup.js'
import type { Config } from '../config/load.js'
import { Failure } from '../core/failure.js'
import { isOwnPath, rootPath, toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'
import { callersOf } from './check-callers.js'
import type { Caller, Callers } from './check-callers.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { print } from './terminal.js'

interface CheckOptions extends ConfigOptions {
  readonly as?: string
  readonly json?: boolean
}

const help = `
Examples:
  postern check                              is the configuration right?
  postern check --as alice PUT /acme/x       what would happen, and which grant decides?
  postern check --as anonymous GET /public/`

/** What each right is for, where a method needs one or the other. */
const cases: Readonly<Record<string, Readonly<Partial<Record<Action, string>>>>> = {
  GET: { read: 'of a file', list: 'of a collection' },
  HEAD: { read: 'of a file', list: 'of a collection' },
  PROPFIND: { list: 'of anything', read: 'of a file' },
  PUT: { create: 'of a new file', replace: 'of one that is there' },
  LOCK: { create: 'of a new name', replace: 'of a file that is there' },
}

/** `postern check`. */
export function addCheck(program: Command, finish: (code: number) => void): void {
  withConfigOptions(program.command('check'))
    .description('say what is wrong with the configuration, or what a caller may do')
    .argument('[method]', 'with --as: an HTTP or WebDAV method')
    .argument('[path]', 'with --as: a decoded path, such as /acme/my file')
    .option('--as <name>', 'the caller to explain: a user, a key or token by id or name, or "anonymous"')
    .option('--json', 'with --as: print JSON')
    .addHelpText('after', help)
    .action(async (method: string | undefined, path: string | undefined, options: CheckOptions) => {
      const config = settle(options)
      const json = options.json === true
      if (!json) for (const warning of config.warnings) print(`warning: ${warning}`)
      if (options.as === undefined) {
        if (json) throw new Failure('invalid', '--json goes with --as.')
        if (method !== undefined) throw new Failure('invalid', 'Name the caller: postern check --as NAME METHOD PATH')
        examine(config)
        print(`${config.file ?? 'defaults, environment and flags'}: ok`)
        print(`  serves ${shownMounts(config.mounts)}, ${shownCatalog(config)}`)
        print(`  listens on ${config.listen.map(({ name }) => name).join(', ')}`)
        for (const { kind, name, settings } of config.identity) {
          const seen = await identityKinds.get(kind)?.probe?.(settings)
          if (seen !== undefined) print(`  ${name}: ${seen}`)
        }
        return
      }
      if (method === undefined || path === undefined)
        throw new Failure('invalid', 'Give a method and a path: postern check --as NAME METHOD PATH')
      finish(await explain(config, options.as, method.toUpperCase(), toPath(path), json))
    })
}

/** What one caller may do with a method and a path. */
interface Explained {
  /** The whole path, where the caller has a home. */
  readonly path: StorePath
  readonly allowed: boolean
  /** Only what leads to granted paths below is listed. */
  readonly onTheWay: boolean
  readonly rights: readonly { readonly action: Action; readonly grant: string | undefined }[]
}

async function explain(config: Config, name: string, method: string, path: StorePath, json: boolean): Promise<number> {
  const groups = rightsOfMethods.get(method)
  if (groups === undefined)
    throw new Failure('invalid', `${method} is none of: ${[...rightsOfMethods.keys()].join(', ')}`)
  const asked = await callersOf(config, name)
  const explained = asked.callers.map((caller) => ({ caller, ...explainCaller(caller, method, path, groups) }))
  const [first] = explained
  if (json) print(JSON.stringify(jsonOf(name, method, path, asked, explained)))
  else {
    for (const one of explained) report(one.caller, one, name, method, path, explained.length > 1)
    for (const line of silence(config, name, asked)) print(line)
  }
  return first?.allowed === true ? 0 : 1
}

function explainCaller(
  { grants, home, source }: Caller,
  method: string,
  path: StorePath,
  groups: readonly (readonly Action[])[],
): Explained {
  const whole = home === undefined || isOwnPath(path) ? path : toPath(path === rootPath ? home : home + path)
  const nothing = { path: whole, allowed: false, onTheWay: false, rights: [] }
  if (grants === undefined || isOwnPath(path)) return nothing
  const permit = compileGrants(grants, source)
  const rights = groups.flat().map((action) => ({ action, grant: permit.explain(action, whole)?.grant }))
  const has = (action: Action): boolean => rights.some((right) => right.action === action && right.grant !== undefined)
  const isAllowed = groups.every((group) => group.some(has))
  const onTheWay = method === 'PROPFIND' && !isAllowed && permit.mayAllowBelow(whole)
  return { path: whole, allowed: isAllowed || onTheWay, onTheWay, rights }
}

function report(caller: Caller, explained: Explained, name: string, method: string, path: StorePath, several: boolean) {
  const { source, what, id, groups, home, refused } = caller
  const who = what === 'user' || what === 'anonymous' ? name : `the ${what} ${id ?? name}`
  if (several || what !== 'user') if (what !== 'anonymous') print(`${source}: ${who}`)
  if (refused !== undefined) {
    print(`${source} refuses ${who}: ${refused}`)
    return
  }
  if (groups !== undefined && groups.length > 0) print(`  in the groups ${groups.join(', ')}`)
  if (isOwnPath(path)) print(`${method} ${path}: no file can be there; everything below /-/ is Postern's own.`)
  else {
    if (home !== undefined) print(`  at home in ${home}: ${path} is ${explained.path}`)
    for (const { action, grant } of explained.rights) {
      const when = cases[method]?.[action]
      const right = when === undefined ? action : `${action} (${method} ${when})`
      print(`  ${right}: ${grant === undefined ? 'no grant' : `by ${grant} of ${source}`}`)
    }
    if (explained.onTheWay) print('  list: only what leads to granted paths below')
    if (method === 'COPY' || method === 'MOVE')
      print('  The destination needs create, and replace where something is there: ask with PUT.')
    print(`${method} ${path} as ${who}: ${explained.allowed ? 'allowed' : 'denied'}`)
  }
}

/** Why there may be more, or why there is nothing. */
function silence(config: Config, name: string, { callers, silent, down }: Callers): readonly string[] {
  if (name === 'anonymous')
    return callers.length > 0 ? [] : ['Nobody may enter without a login: the configuration has no "anonymous".']
  const users = callers.filter(({ what }) => what === 'user')
  const names = config.identity.map((source) => source.name).join(', ')
  return [
    ...(callers.length === 0 ? [`No source knows ${JSON.stringify(name)}. Asked: ${names}.`] : []),
    ...(users.length > 1 ? [`Several sources know ${name}: with a password it is the first, ${users[0]?.source ?? ''}.`] : []), // prettier-ignore
    ...[...down].map(([source, why]) => `${source} cannot be asked, so its callers get a 503: ${why}`),
    ...(silent.length > 0 && callers.length === 0 ? [`${silent.join(', ')}: what a caller may do shows only with its password or key.`] : []), // prettier-ignore
  ]
}

function jsonOf(
  name: string,
  method: string,
  path: StorePath,
  { silent, down }: Callers,
  explained: readonly (Explained & { readonly caller: Caller })[],
): object {
  const callers = explained.map(({ caller, path: whole, allowed, rights }) => {
    const { source, what, id, groups, home, refused } = caller
    const judged = rights.map(({ action, grant }) => ({ action, grant: grant ?? null }))
    return { source, what, id, groups, home, path: whole, allowed, refused, rights: judged }
  })
  const allowed = explained[0]?.allowed === true
  return { as: name, method, path, allowed, callers, silent, down: Object.fromEntries(down) }
}

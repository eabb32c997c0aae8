import type { Command } from 'commander'
import { compileGrants, expandUser } from '../auth/grant.js'
import { rightsOfMethods } from '../auth/method-rights.js'
import type { Permit } from '../auth/permit.js'
import type { Account } from '../catalog/accounts.js'
import { identityKinds } from '../config/identity/kinds.js'
import { examine } from '../config/setup.js'
import type { Config } from '../config/load.js'
import { openState } from '../config/state.js'
import { Failure } from '../core/failure.js'
import { isOwnPath } from '../core/path.js'
import { toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import type { Action } from '../store/store.js'
import { withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { print } from './terminal.js'

interface CheckOptions extends ConfigOptions {
  readonly as?: string
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
    .option('--as <name>', 'the caller to explain; "anonymous" for those without a login')
    .addHelpText('after', help)
    .action(async (method: string | undefined, path: string | undefined, options: CheckOptions) => {
      const config = settle(options)
      for (const warning of config.warnings) print(`warning: ${warning}`)
      if (options.as === undefined) {
        if (method !== undefined) throw new Failure('invalid', 'Name the caller: postern check --as NAME METHOD PATH')
        examine(config)
        print(`${config.file ?? 'defaults, environment and flags'}: ok`)
        print(`  serves ${config.root}, state in ${config.state}`)
        print(`  listens on ${config.listen.map(({ name }) => name).join(', ')}`)
        for (const { kind, name, settings } of config.identity) {
          const seen = await identityKinds.get(kind)?.probe?.(settings)
          if (seen !== undefined) print(`  ${name}: ${seen}`)
        }
        return
      }
      if (method === undefined || path === undefined)
        throw new Failure('invalid', 'Give a method and a path: postern check --as NAME METHOD PATH')
      finish(await explain(config, options.as, method.toUpperCase(), toPath(path)))
    })
}

async function explain(config: Config, name: string, method: string, path: StorePath): Promise<number> {
  const groups = rightsOfMethods.get(method)
  if (groups === undefined)
    throw new Failure('invalid', `${method} is none of: ${[...rightsOfMethods.keys()].join(', ')}`)
  const permit = await permitFor(config, name)
  if (permit === undefined) return 1
  if (isOwnPath(path)) {
    print(`${method} ${path}: no file can be there; everything below /-/ is Postern's own.`)
    return 1
  }
  const verdicts = groups.map((group) => group.map((action) => explainAction(permit, method, action, path)))
  const allowed = verdicts.every((group) => group.some(Boolean))
  const onTheWay = method === 'PROPFIND' && !allowed && permit.mayAllowBelow(path)
  if (onTheWay) print('  list: only what leads to granted paths below')
  if (method === 'COPY' || method === 'MOVE')
    print('  The destination needs create, and replace where something is there: ask with PUT.')
  print(`${method} ${path} as ${name}: ${allowed || onTheWay ? 'allowed' : 'denied'}`)
  return allowed || onTheWay ? 0 : 1
}

function explainAction(permit: Permit, method: string, action: Action, path: StorePath): boolean {
  const found = permit.explain(action, path)
  const when = cases[method]?.[action]
  const what = when === undefined ? action : `${action} (${method} ${when})`
  print(`  ${what}: ${found === undefined ? 'no grant' : `by ${found.grant} of ${found.source}`}`)
  return found !== undefined
}

/** The rights of a caller, or undefined after saying why it has none. */
async function permitFor(config: Config, name: string): Promise<Permit | undefined> {
  if (name === 'anonymous') {
    if (config.anonymous !== undefined) return compileGrants(config.anonymous.grants, 'anonymous')
    print('Nobody may enter without a login: the configuration has no "anonymous".')
    return undefined
  }
  const silent: string[] = []
  for (const source of config.identity) {
    if (source.kind === 'catalog') {
      const found = await accountOf(config, name)
      if (found === undefined) continue
      if (!found.disabled) return compileGrants(expandUser(found.grants, found.name), source.name)
      print(`${name} is disabled in ${source.name}; "postern user enable ${name}" lets it in.`)
      return undefined
    }
    const kind = identityKinds.get(source.kind)
    if (kind?.lookUp === undefined) {
      silent.push(source.name)
      continue
    }
    const found = await kind.lookUp(source.settings, name)
    if (found === undefined) continue
    if ('grants' in found) return compileGrants(found.grants, source.name)
    print(`${source.name} refuses ${name}: ${found.refused}`)
    return undefined
  }
  print(`No source knows ${JSON.stringify(name)}. Asked: ${config.identity.map((source) => source.name).join(', ')}.`)
  if (silent.length > 0) print(`${silent.join(', ')}: what a caller may do shows only with its password or key.`)
  return undefined
}

async function accountOf(config: Config, name: string): Promise<Account | undefined> {
  const state = await openState(config, { create: false })
  try {
    return (await state.accounts.find(name))?.account
  } finally {
    await state.close()
  }
}

import { atHome } from '../auth/home.js'
import { expanded } from '../config/identity/expanded.js'
import type { IdentitySetting } from '../config/identity/entry.js'
import type { LookedUp } from '../config/identity/kind.js'
import { identityKinds } from '../config/identity/kinds.js'
import type { Config } from '../config/load.js'
import { openCredentials, openState } from '../config/state.js'
import { issuedKinds } from '../catalog/credentials.js'
import type { Issued } from '../catalog/credentials.js'
import { isFailure } from '../core/failure.js'
import { rootPath } from '../core/path.js'

/** Somebody whom a source knows by a name, or a key or token that bears it. */
export interface Caller {
  readonly source: string
  readonly what: 'anonymous' | LookedUp['what']
  readonly id?: string
  readonly groups?: readonly string[]
  /** Where it finds its root; absent: at the root. */
  readonly home?: string
  /** Whole paths; absent where it is refused. */
  readonly grants?: readonly string[]
  readonly refused?: string
}

/** All that could come in under a name. */
export interface Callers {
  readonly callers: readonly Caller[]
  /** Sources that say nothing of anybody without a password or a token. */
  readonly silent: readonly string[]
  /** Sources that could not be asked, with the reason. */
  readonly down: ReadonlyMap<string, string>
}

/** Asks every source of the configuration, in order. Throws what `openState` throws. */
export async function callersOf(config: Config, name: string): Promise<Callers> {
  if (name === 'anonymous') {
    const grants = config.anonymous?.grants
    return { callers: grants ? [{ source: name, what: name, grants }] : [], silent: [], down: new Map() }
  }
  const callers: Caller[] = []
  const silent: string[] = []
  const down = new Map<string, string>()
  for (const setting of config.identity) {
    const kind = identityKinds.get(setting.kind)
    if (setting.kind !== 'catalog' && kind?.lookUp === undefined) {
      silent.push(setting.name)
      continue
    }
    try {
      for (const found of await lookUp(config, setting, name)) callers.push(callerOf(setting, name, found))
    } catch (error) {
      if (!isFailure(error, 'unavailable')) throw error
      down.set(setting.name, error.cause instanceof Error ? error.cause.message : error.message)
    }
  }
  return { callers, silent, down }
}

function callerOf(setting: IdentitySetting, name: string, found: LookedUp): Caller {
  const { home: own, ...rest } = found
  const caller = { source: setting.name, ...rest }
  if ('refused' in caller) return caller
  if (own !== undefined) return own === rootPath ? caller : { ...caller, home: own }
  if (setting.home === undefined) return caller
  try {
    const { home } = atHome({ name, source: setting.name, grants: caller.grants }, setting.home)
    return { ...caller, ...(home !== undefined && { home }) }
  } catch (error) {
    if (!isFailure(error, 'denied', 'invalid')) throw error
    const { what, id, groups } = found
    return {
      source: setting.name,
      what,
      ...(id !== undefined && { id }),
      ...(groups && { groups }),
      refused: error.message,
    }
  }
}

async function lookUp(config: Config, { kind, settings }: IdentitySetting, name: string): Promise<readonly LookedUp[]> {
  if (kind === 'catalog') return inCatalog(config, name)
  return (await identityKinds.get(kind)?.lookUp?.(settings, name)) ?? []
}

/** The user of that name, and keys and tokens with that id or name. */
async function inCatalog(config: Config, name: string): Promise<readonly LookedUp[]> {
  const state = await openState(config, { create: false })
  try {
    const credentials = await openCredentials(state, config)
    const user = (await state.accounts.find(name))?.account
    const found: LookedUp[] = user === undefined ? [] : [{ what: 'user', ...withHome(user.home), ...verdictOn(user) }]
    for (const kind of issuedKinds)
      for await (const some of credentials.list(kind))
        for (const issued of some) {
          if (issued.id !== name && issued.name !== name.normalize('NFC')) continue
          const owner = issued.name === user?.name ? user : (await state.accounts.find(issued.name))?.account
          const what = kind === 's3-key' ? 'S3 key' : kind
          const refused = credentials.hasExpired(issued) ? 'it has expired' : owner?.disabled === true ? `${owner.name} is disabled` : undefined // prettier-ignore
          found.push({ what, id: issued.id, ...withHome(owner?.home), ...(refused === undefined ? expanded(issued.grants, issued.name) : { refused }) }) // prettier-ignore
        }
    return found
  } finally {
    await state.close()
  }
}

function withHome(home: string | undefined): { readonly home?: string } {
  return home === undefined ? {} : { home }
}

function verdictOn({ name, disabled, grants }: Pick<Issued, 'name' | 'grants'> & { readonly disabled: boolean }) {
  return disabled ? { refused: `it is disabled; "postern user enable ${name}" lets it in` } : expanded(grants, name)
}

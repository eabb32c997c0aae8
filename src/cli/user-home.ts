import type { Command } from 'commander'
import { homeOf } from '../auth/home.js'
import type { Account, NewAccount } from '../catalog/accounts.js'
import type { Config } from '../config/load.js'
import { bytesText, parseBytes } from '../core/bytes.js'
import { Failure } from '../core/failure.js'
import { rootPath, type StorePath } from '../core/path.js'
import type { ConfigOptions } from './options.js'
import { noteUser, withState } from './state.js'

/** Where a new user is to be at home, and how much may lie there. */
export interface HomeOptions {
  readonly home?: string
  readonly quota?: string
}

interface VerbOptions extends ConfigOptions {
  readonly directory?: string
  readonly json?: boolean
}

type Report = (options: VerbOptions, account: Account, sentence: string) => void

/** The same for the account. Throws `invalid` for what is no home or no number, and for a quota that would count nothing. */
export function homeSettings(
  name: string,
  { home, quota }: HomeOptions,
  config: Config,
): Pick<NewAccount, 'home' | 'quotaBytes'> {
  const at = home === undefined ? undefined : homeFor(name, home)
  const quotaBytes = quota === undefined ? undefined : bytesOf(quota)
  if (quotaBytes !== undefined) demandHome(at, config)
  return { ...(at !== undefined && { home: at }), ...(quotaBytes !== undefined && { quotaBytes }) }
}

/** `postern user home NAME PATH` and `postern user quota NAME BYTES`. */
export function addHomeVerbs(
  { home, quota }: { readonly home: Command; readonly quota: Command },
  report: Report,
): void {
  home
    .argument('<path>', 'such as /home/{user}; / for the root itself, none for what the configuration says')
    .action(async (name: string, path: string, options: VerbOptions) => {
      demandCatalog(options)
      const at = path === 'none' ? undefined : homeFor(name, path)
      await withState(options, async (state) => {
        const account = await state.accounts.setHome(name, at)
        noteUser(state, { what: 'changed', why: 'home', source: 'catalog', user: account.name })
        report(options, account, `The home of ${account.name} is ${at ?? 'what the configuration says'}.`)
      })
    })

  quota
    .argument('<bytes>', 'such as 500M or 5G; none for what the configuration says')
    .action(async (name: string, text: string, options: VerbOptions) => {
      demandCatalog(options)
      const quotaBytes = text === 'none' ? undefined : bytesOf(text)
      await withState(options, async (state, config) => {
        if (quotaBytes !== undefined) demandHome((await state.accounts.find(name))?.account.home, config)
        const account = await state.accounts.setQuota(name, quotaBytes)
        noteUser(state, { what: 'changed', why: 'quota', source: 'catalog', user: account.name })
        const said = quotaBytes === undefined ? 'what the configuration says' : bytesText(quotaBytes)
        report(options, account, `The quota of ${account.name} is ${said}.`)
      })
    })
}

function homeFor(name: string, home: string): StorePath {
  try {
    return home === rootPath ? rootPath : homeOf(home, name)
  } catch (cause) {
    throw new Failure('invalid', `${JSON.stringify(home)} can be no home; write it as a path such as /home/{user}.`, {
      cause,
    })
  }
}

function bytesOf(text: string): number {
  const bytes = parseBytes(text)
  if (bytes === undefined) throw new Failure('invalid', `${JSON.stringify(text)} is no quota; write it as 500M or 5G.`)
  return bytes
}

/** Throws `invalid` where neither the user nor the configuration has a home for the quota to count. */
function demandHome(own: StorePath | undefined, { identity }: Config): void {
  const source = identity.find(({ kind }) => kind === 'catalog')
  if (own === undefined && source?.home === undefined)
    throw new Failure(
      'invalid',
      'A quota counts what is below a home: give --home, "postern user home", or home in the configuration first.',
    )
}

function demandCatalog({ directory = 'catalog' }: VerbOptions): void {
  if (directory !== 'catalog')
    throw new Failure('invalid', 'Homes and quotas of the users of a table stand in the configuration: home, quota.')
}

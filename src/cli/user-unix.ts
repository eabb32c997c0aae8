import type { Command } from 'commander'
import type { Account, NewAccount } from '../catalog/accounts.js'
import { Failure } from '../core/failure.js'
import type { ConfigOptions } from './options.js'
import { noteUser, withState } from './state.js'

/** Whom a new user is to act as. */
export interface UnixUserOptions {
  readonly unixUser?: string
}

interface VerbOptions extends ConfigOptions {
  readonly directory?: string
  readonly json?: boolean
}

/** The same for the account. Throws `invalid` for what no Unix user is called. */
export function unixUserSettings({ unixUser }: UnixUserOptions): Pick<NewAccount, 'unixUser'> {
  return unixUser === undefined ? {} : { unixUser: checked(unixUser) }
}

/** `postern user unix-user NAME UNIX-USER`. */
export function addUnixUserVerb(
  verb: Command,
  report: (options: VerbOptions, account: Account, sentence: string) => void,
): void {
  verb
    .argument('<unix-user>', 'the name of a Unix user; none for what the configuration says')
    .action(async (name: string, unixUser: string, options: VerbOptions) => {
      if (options.directory !== undefined && options.directory !== 'catalog')
        throw new Failure('invalid', 'Whom the users of a table act as stands in the configuration: unixUser.')
      const actsAs = unixUser === 'none' ? undefined : checked(unixUser)
      await withState(options, async (state) => {
        const account = await state.accounts.setUnixUser(name, actsAs)
        noteUser(state, { what: 'changed', why: 'unix-user', source: 'catalog', user: account.name })
        report(
          options,
          account,
          `${account.name} acts as ${actsAs === undefined ? 'whom the configuration says' : `the Unix user ${actsAs}`}, from the next login on.`,
        )
      })
    })
}

function checked(name: string): string {
  if (/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/.test(name) && name !== 'root') return name
  throw new Failure('invalid', `${JSON.stringify(name)} can be no Unix user to act as; name one such as alice.`)
}

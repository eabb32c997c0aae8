import type { Command } from 'commander'
import type { Account, NewAccount } from '../catalog/accounts.js'
import { Failure } from '../core/failure.js'
import { isMailbox } from '../mail/mail.js'
import type { ConfigOptions } from './options.js'
import { noteUser, withState } from './state.js'

/** Where a new user gets mail. */
export interface MailOptions {
  readonly mail?: string
}

interface VerbOptions extends ConfigOptions {
  readonly directory?: string
  readonly json?: boolean
}

/** The same for the account. Throws `invalid` for what is no address. */
export function mailSettings({ mail }: MailOptions): Pick<NewAccount, 'mail'> {
  return mail === undefined ? {} : { mail: checkedMailbox(mail) }
}

/** `postern user mail NAME ADDRESS`. */
export function addMailVerb(
  verb: Command,
  report: (options: VerbOptions, account: Account, sentence: string) => void,
): void {
  verb
    .argument('<address>', 'such as alice@example.org; none to take it away')
    .action(async (name: string, address: string, options: VerbOptions) => {
      if (options.directory !== undefined && options.directory !== 'catalog')
        throw new Failure('invalid', 'Only users of the catalog have an address.')
      const mail = address === 'none' ? undefined : checkedMailbox(address)
      await withState(options, async (state) => {
        const account = await state.accounts.setMail(name, mail)
        noteUser(state, { what: 'changed', why: 'mail', source: 'catalog', user: account.name })
        report(options, account, mail === undefined ? `${account.name} has no address.` : `The address of ${account.name} is ${mail}.`) // prettier-ignore
      })
    })
}

function checkedMailbox(address: string): string {
  if (isMailbox(address)) return address
  throw new Failure('invalid', `${JSON.stringify(address)} is no address for mail; write it as alice@example.org.`)
}

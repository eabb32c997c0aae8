import type { Command } from 'commander'
import type { Account } from '../catalog/accounts.js'
import { issuedKinds } from '../catalog/credentials.js'
import type { Credentials, Issued } from '../catalog/credentials.js'
import { Failure } from '../core/failure.js'
import { withCredentials } from './issued.js'
import { collect, withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { checkedGrants, noteUser, table, withState } from './state.js'
import { addHomeVerbs, homeSettings, type HomeOptions } from './user-home.js'
import { addMailVerb, mailSettings, type MailOptions } from './user-mail.js'
import { addUnixUserVerb, unixUserSettings, type UnixUserOptions } from './user-unix.js'
import type { TableUserOptions, TableVerbs } from './table-user.js'
import { askForNewPassword, print, readPasswordFromStdin } from './terminal.js'

interface UserOptions extends ConfigOptions, HomeOptions, MailOptions, UnixUserOptions {
  readonly grant?: readonly string[]
  readonly passwordStdin?: boolean
  readonly json?: boolean
  readonly directory?: string
  readonly scope?: readonly string[]
  readonly sha3?: boolean
}

const help = `
A grant is ACTIONS:/PATTERN. Actions: r (read, list), rw (all), or any of read list create replace delete, with commas.
* stands for one name, ** for any number of them; {user} for the user's name.

Examples:
  postern user add alice --grant 'rw:/alice/**' --grant 'r:/shared/**'
  echo "$PASSWORD" | postern user add bob --grant 'create:/inbox/**' --password-stdin
  postern user disable bob
  postern user quota alice 5G
  postern user add carol --directory dynamodb --grant 'rw:/carol/**'     in a users table of the configuration

Changes take effect at once, also while the server runs.`

/** `postern user …`. */
export function addUser(program: Command): void {
  const user = program
    .command('user')
    .description('manage the users of the catalog, or of a users table')
    .addHelpText('after', help)

  withScope(withPassword(named(user, 'add', 'add a user')))
    .option('--grant <grant>', 'what the user may do; may be given again', collect)
    .option('--home <path>', 'what the user sees as the root, in place of what the configuration says; / for the root')
    .option('--quota <bytes>', 'how much may lie below the home, such as 5G')
    .option('--mail <address>', 'where the user gets mail')
    .option('--unix-user <name>', 'the Unix user that it acts as under privilege separation')
    .addHelpText('after', help)
    .action(async (name: string, options: UserOptions) => {
      if (isOfTable(options)) return (await tableVerbs()).add(name, options, () => newPassword(options))
      const grants = checkedGrants(options.grant)
      await withState(options, async (state, config) => {
        const { accounts, hasher } = state
        const at = { ...homeSettings(name, options, config), ...unixUserSettings(options), ...mailSettings(options) }
        // A name that is taken is found out before anybody types a password.
        if ((await accounts.find(name)) !== undefined)
          throw new Failure('exists', `There is a user ${JSON.stringify(name)} already.`)
        const passwordHash = await hasher.hash(await newPassword(options))
        const account = await accounts.add({ name, grants, passwordHash, ...at })
        noteUser(state, { what: 'made', source: 'catalog', user: account.name, grants })
        report(options, account, `Added ${account.name}.${grants.length === 0 ? ' It has no grant yet.' : ''}`)
      })
    })

  withPassword(named(user, 'passwd', 'set the password of a user')).action(
    async (name: string, options: UserOptions) => {
      if (isOfTable(options)) return (await tableVerbs()).passwd(name, options, () => newPassword(options))
      await withState(options, async (state) => {
        const { accounts, hasher } = state
        if ((await accounts.find(name)) === undefined)
          throw new Failure('not-found', `There is no user ${JSON.stringify(name)}.`)
        const account = await accounts.setPassword(name, await hasher.hash(await newPassword(options)))
        noteUser(state, { what: 'changed', why: 'password', source: 'catalog', user: account.name })
        report(options, account, `The password of ${account.name} is changed.`)
      })
    },
  )

  withScope(named(user, 'grant', 'set what a user may do, in place of all it had'))
    .requiredOption('--grant <grant>', 'what the user may do; may be given again', collect)
    .action(async (name: string, options: UserOptions) => {
      if (isOfTable(options)) return (await tableVerbs()).grant(name, options)
      const grants = checkedGrants(options.grant)
      await withState(options, async (state) => {
        const account = await state.accounts.setGrants(name, grants)
        noteUser(state, { what: 'changed', why: 'grants', source: 'catalog', user: account.name, grants })
        report(options, account, `The grants of ${account.name} are changed.`)
      })
    })

  for (const [verb, disabled] of [
    ['disable', true],
    ['enable', false],
  ] as const)
    named(user, verb, disabled ? 'refuse a user from now on' : 'let a disabled user in again').action(
      async (name: string, options: UserOptions) => {
        if (isOfTable(options)) return (await tableVerbs()).disable(name)
        await withState(options, async (state) => {
          const account = await state.accounts.setDisabled(name, disabled)
          const why = disabled ? 'disabled' : 'enabled'
          noteUser(state, { what: 'changed', why, source: 'catalog', user: account.name })
          report(options, account, `${account.name} is ${disabled ? 'disabled' : 'enabled'}.`)
        })
      },
    )

  addHomeVerbs(
    {
      home: named(user, 'home', 'set what a user sees as the root'),
      quota: named(user, 'quota', 'set how much may lie below the home of a user'),
    },
    report,
  )

  addUnixUserVerb(named(user, 'unix-user', 'set the Unix user that a user acts as under privilege separation'), report)

  addMailVerb(named(user, 'mail', 'set where a user gets mail'), report)

  named(user, 'rm', 'remove a user').action(async (name: string, options: UserOptions) => {
    if (isOfTable(options)) return (await tableVerbs()).rm(name, options)
    await withCredentials(options, async (credentials, state) => {
      await state.accounts.remove(name)
      noteUser(state, { what: 'removed', source: 'catalog', user: name.normalize('NFC') })
      if (options.json === true) print(JSON.stringify({ name, removed: true }))
      else {
        print(`Removed ${name}.`)
        for (const { kind, id } of await issuedTo(credentials, name))
          print(`A ${kind} of that name still works. To end it: postern ${kind} revoke ${id}`)
      }
    })
  })

  withDirectory(withConfigOptions(user.command('list').description('list all users')))
    .option('--json', 'print JSON')
    .action(async (options: UserOptions) => {
      if (isOfTable(options)) return (await tableVerbs()).list(options)
      await withState(options, async ({ accounts }) => {
        const all: Account[] = []
        for await (const some of accounts.list()) all.push(...some)
        if (options.json === true) print(JSON.stringify(all.map(shown)))
        else for (const line of table(['NAME', 'STATE', 'GRANTS'], all.map(row))) print(line)
      })
    })
}

/** What is left to a name without a user: it was issued to the name. */
async function issuedTo(credentials: Credentials, name: string): Promise<readonly Issued[]> {
  const all: Issued[] = []
  for (const kind of issuedKinds) for await (const some of credentials.list(kind)) all.push(...some)
  return all.filter((issued) => issued.name === name.normalize('NFC') && !credentials.hasExpired(issued))
}

function named(user: Command, verb: string, description: string): Command {
  return withDirectory(withConfigOptions(user.command(verb).description(description).argument('<name>'))).option(
    '--json',
    'print JSON',
  )
}

function withDirectory(command: Command): Command {
  return command.option('--directory <source>', 'the source of the configuration that holds the user', 'catalog')
}

function withPassword(command: Command): Command {
  return command
    .option('--password-stdin', 'read the password from standard input instead of asking for it')
    .option('--sha3', 'in a users table: keep the password as salted SHA3-256, for other programs that read the table')
}

function withScope(command: Command): Command {
  return command.option('--scope <word>', 'in a users table: a word for scopeGrants; may be given again', collect)
}

function isOfTable(options: UserOptions): options is UserOptions & TableUserOptions {
  return options.directory !== undefined && options.directory !== 'catalog'
}

/** What the users of a table need is not loaded for those of the catalog. */
async function tableVerbs(): Promise<TableVerbs> {
  return (await import('./table-user.js')).tableVerbs
}

function newPassword(options: UserOptions): Promise<string> {
  return options.passwordStdin === true ? readPasswordFromStdin() : askForNewPassword()
}

function report(options: UserOptions, account: Account, sentence: string): void {
  print(options.json === true ? JSON.stringify(shown(account)) : sentence)
}

/** An account without its hash. */
function shown({ name, grants, disabled, created, home, quotaBytes, unixUser, mail }: Account): object {
  return { name, grants, disabled, home, quotaBytes, unixUser, mail, created: new Date(created).toISOString() }
}

function row({ name, disabled, grants }: Account): readonly string[] {
  return [name, disabled ? 'disabled' : 'active', grants.join(' ')]
}

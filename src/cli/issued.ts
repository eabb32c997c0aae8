import type { Command } from 'commander'
import { isScopeGrant } from '../auth/scope/scope-map.js'
import type { Credentials, Issued, IssuedKind, NewCredential } from '../catalog/credentials.js'
import { openCredentials } from '../config/state.js'
import type { State } from '../config/state.js'
import { systemClock } from '../core/clock.js'
import { Failure, isFailure } from '../core/failure.js'
import { parseDuration, parseMoment } from './moment.js'
import { collect, withConfigOptions } from './options.js'
import type { ConfigOptions } from './options.js'
import { checkedGrants, noteKey, table, withState } from './state.js'
import { print } from './terminal.js'

/** What differs between `postern key`, `postern s3-key` and `postern token`. */
export interface IssuedCommand {
  readonly kind: IssuedKind
  /** In sentences: `key`, `S3 key`, `token`. */
  readonly word: string
  /** The verb that makes one. */
  readonly verb: 'issue' | 'create'
  readonly description: string
  /** What `--json` prints of a new one. */
  json(made: NewCredential): object
  /** What a person is shown of a new one, its secret for the only time. */
  lines(made: NewCredential): readonly string[]
  readonly examples: string
}

export interface IssueOptions extends ConfigOptions {
  readonly grant?: readonly string[]
  readonly expires?: string
  readonly overlap?: string
  readonly json?: boolean
}

const grantsHelp = `
NAME says whom it is for. Several may share a name: they are one caller to locks and limits, each with grants of its own.
A grant is ACTIONS:/PATTERN. Actions: r (read, list), rw (all), or any of read list create replace delete, with commas.
* stands for one name, ** for any number of them; {user} for NAME.
`

/** The commands that all three have: make, list, revoke, rotate. Gives the command to hang more on. */
export function addIssued(program: Command, about: IssuedCommand): Command {
  const { kind, word, verb, description } = about
  const help = `${grantsHelp}\nExamples:\n${about.examples}\n\nChanges take effect at once, also while the server runs. Secrets are shown once.`
  const command = program.command(kind).description(description).addHelpText('after', help)

  withCommonOptions(command.command('list').description(`list all ${word}s, without their secrets`)).action(
    async (options: IssueOptions) => {
      await withCredentials(options, async (credentials) => {
        const all = await listed(credentials, kind)
        if (options.json === true) print(JSON.stringify(all.map((issued) => shown(credentials, issued))))
        else for (const line of table(['ID', 'NAME', 'ENDS', 'GRANTS'], all.map((issued) => row(credentials, issued)))) print(line) // prettier-ignore
      })
    },
  )

  withCommonOptions(command.command('revoke').description(`refuse a ${word} from now on`).argument('<id>')).action(
    async (id: string, options: IssueOptions) => {
      await withCredentials(options, async (credentials, state) => {
        const issued = await found(credentials, about, id, () => credentials.revoke(kind, id))
        noteKey(state, { what: 'revoked' }, issued)
        if (options.json === true) print(JSON.stringify({ id, name: issued.name, revoked: true }))
        else print(`Revoked the ${word} ${id} of ${issued.name}.`)
      })
    },
  )

  withCommonOptions(
    command.command('rotate').description(`issue a successor to a ${word}, and end the old one`).argument('<id>'),
  )
    .option('--overlap <time>', 'how long the old one still works, such as 7d (default: not at all)')
    .option(
      '--expires <time>',
      'when the new one ends, such as 30d or 2027-01-31 (default: it lives as long as the old)',
    )
    .addHelpText('after', help)
    .action(async (id: string, options: IssueOptions) => {
      const overlapSeconds = parseDuration('--overlap', options.overlap ?? '0')
      const expires = expiryOf(options)
      await withCredentials(options, async (credentials, state) => {
        const made = await found(credentials, about, id, () =>
          credentials.rotate(kind, id, { overlapSeconds, ...expires }),
        )
        noteKey(state, { what: 'rotated', replaces: id }, made.issued)
        const until = overlapSeconds === 0 ? undefined : timeOf(made.old.expires ?? 0)
        if (options.json === true)
          print(JSON.stringify({ ...about.json(made), replaces: id, ...(until !== undefined && { until }) }))
        else {
          for (const line of about.lines(made)) print(line)
          print(until === undefined ? `The old one, ${id}, is refused from now on.` : `The old one, ${id}, works until ${until}.`) // prettier-ignore
        }
      })
    })

  if (verb === 'issue')
    withIssueOptions(command.command(verb).description(`issue a ${word}`).argument('<name>'), help).action(
      async (name: string, options: IssueOptions) => {
        await issue(about, name, options)
      },
    )
  return command
}

/** Makes one and shows it. */
export async function issue(about: IssuedCommand, name: string, options: IssueOptions): Promise<void> {
  const grants = checkedGrants(options.grant)
  if (grants.length === 0)
    throw new Failure(
      'invalid',
      `A ${about.word} needs a grant, for it cannot be given one later: --grant 'r:/some/**'`,
    )
  const expires = expiryOf(options)
  await withCredentials(options, async (credentials, state) => {
    const made = await credentials.issue(about.kind, { name, grants, ...expires })
    noteKey(state, { what: 'issued' }, made.issued)
    if (options.json === true) print(JSON.stringify(about.json(made)))
    else for (const line of about.lines(made)) print(line)
  })
}

export function withIssueOptions(command: Command, help: string): Command {
  return withCommonOptions(command)
    .option('--grant <grant>', 'what it may do; may be given again', collect)
    .option('--expires <time>', 'when it ends, such as 30d or 2027-01-31 (default: never)')
    .addHelpText('after', help)
}

export function withCommonOptions(command: Command): Command {
  return withConfigOptions(command).option('--json', 'print JSON')
}

/** The keys and tokens of the state that the options name. */
export async function withCredentials(
  options: ConfigOptions,
  work: (credentials: Credentials, state: State) => Promise<void>,
): Promise<void> {
  await withState(options, async (state, config) => {
    await work(await openCredentials(state, config), state)
  })
}

/** With a word on where to look, where the id is none. */
async function found<Result>(
  credentials: Credentials,
  { kind, word }: IssuedCommand,
  id: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (!isFailure(error, 'not-found')) throw error
    const named = (await listed(credentials, kind)).filter(({ name }) => name === id)
    const advice =
      named.length === 0
        ? `"postern ${kind} list" shows them all.`
        : `It is a name; give the id: ${named.map((issued) => issued.id).join(', ')}.`
    throw new Failure('not-found', `There is no ${word} with the id ${JSON.stringify(id)}. ${advice}`, { cause: error })
  }
}

async function listed(credentials: Credentials, kind: IssuedKind): Promise<readonly Issued[]> {
  const all: Issued[] = []
  for await (const some of credentials.list(kind)) all.push(...some)
  return all
}

function expiryOf({ expires }: IssueOptions): { readonly expires?: number } {
  return expires === undefined ? {} : { expires: parseMoment('--expires', expires, systemClock.now()) }
}

function shown(credentials: Credentials, issued: Issued): object {
  const { id, name, grants, created, expires } = issued
  const ends = expires === undefined ? null : timeOf(expires)
  return { id, name, grants, created: timeOf(created), expires: ends, expired: credentials.hasExpired(issued) }
}

function row(credentials: Credentials, issued: Issued): readonly string[] {
  const { id, name, grants, expires } = issued
  const ends = credentials.hasExpired(issued) ? 'expired' : expires === undefined ? 'never' : timeOf(expires)
  return [id, name, ends, grants.map((grant) => (isScopeGrant(grant) ? 'map:…' : grant)).join(' ')]
}

function timeOf(moment: number): string {
  return new Date(moment).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

import { openManagedUsers } from '../config/identity/managed.js'
import type { UserEvent } from '../auth/audit.js'
import type { ShownUser, TableUsers } from '../auth/directory/table-users.js'
import { Failure } from '../core/failure.js'
import type { ConfigOptions } from './options.js'
import { settle } from './settings.js'
import { checkedGrants, noteUser, table } from './state.js'
import { print } from './terminal.js'

/** What the commands of `postern user` are told for a table. */
export interface TableUserOptions extends ConfigOptions {
  readonly directory: string
  readonly grant?: readonly string[]
  readonly scope?: readonly string[]
  readonly sha3?: boolean
  readonly json?: boolean
}

/** What `postern user` can do with a table, by its verbs. `password` asks for one. */
export interface TableVerbs {
  add(name: string, options: TableUserOptions, password: () => Promise<string>): Promise<void>
  passwd(name: string, options: TableUserOptions, password: () => Promise<string>): Promise<void>
  grant(name: string, options: TableUserOptions): Promise<void>
  rm(name: string, options: TableUserOptions): Promise<void>
  list(options: TableUserOptions): Promise<void>
  /** Throws `invalid`: a table has no word for it that its other readers know. */
  disable(name: string): Promise<void>
}

export const tableVerbs: TableVerbs = {
  add: (name, options, password) =>
    withUsers(options, async (users, note) => {
      const scopes = scopesOf(options)
      // A name that is taken is found out before anybody types a password.
      if ((await users.find(name)) !== undefined)
        throw new Failure('exists', `There is a user ${JSON.stringify(name)} already.`)
      await users.write(name, { password: await password(), form: formOf(options), ...(scopes && { scopes }) }, 'new')
      note({ what: 'made', user: name, ...(scopes && { grants: scopes }) })
      report(options, users, { user: name, scopes: scopes ?? [] }, `Added ${name} to ${users.source}.`)
    }),

  passwd: (name, options, password) =>
    withUsers(options, async (users, note) => {
      const found = await existing(users, name)
      await users.write(name, { password: await password(), form: formOf(options) }, 'existing')
      note({ what: 'changed', why: 'password', user: name })
      report(options, users, found, `The password of ${name} is changed.`)
    }),

  grant: (name, options) =>
    withUsers(options, async (users, note) => {
      const scopes = scopesOf(options) ?? []
      await users.write(name, { scopes }, 'existing')
      note({ what: 'changed', why: 'grants', user: name, grants: scopes })
      report(options, users, { user: name, scopes }, `The grants of ${name} are changed.`)
    }),

  rm: (name, options) =>
    withUsers(options, async (users, note) => {
      await users.remove(name)
      note({ what: 'removed', user: name })
      if (options.json === true) print(JSON.stringify({ name, removed: true }))
      else print(`Removed ${name}.`)
    }),

  list: (options) =>
    withUsers(options, async (users) => {
      const all: ShownUser[] = []
      for await (const some of users.list()) all.push(...some)
      if (options.json === true) print(JSON.stringify(all.map((user) => shown(users, user))))
      else for (const line of table(['NAME', 'SCOPES'], all.map(row))) print(line)
    }),

  async disable(name) {
    throw new Failure(
      'invalid',
      `A users table has no word for a disabled user that its other readers know. "postern user rm" removes ${JSON.stringify(name)}, "postern user passwd" shuts out who knows the old password.`,
    )
  },
}

type Change = Pick<UserEvent, 'what' | 'why' | 'user' | 'grants'>

async function withUsers(
  options: TableUserOptions,
  work: (users: TableUsers, note: (change: Change) => void) => Promise<void>,
): Promise<void> {
  const managed = await openManagedUsers(settle(options), options.directory)
  try {
    const { state, users } = managed
    const { source, realm } = users
    await work(users, (change) => state && noteUser(state, { ...change, source, realm }))
    if (state === undefined && options.json !== true)
      print(
        'There is no state here: servers elsewhere may let in whom they remember until their cacheSeconds are over.',
      )
  } finally {
    await managed.close()
  }
}

async function existing(users: TableUsers, name: string): Promise<ShownUser> {
  const found = await users.find(name)
  if (found === undefined) throw new Failure('not-found', `There is no user ${JSON.stringify(name)}.`)
  return found
}

/** Undefined where none are given: the grants of the source count then. */
function scopesOf({ grant, scope }: TableUserOptions): readonly string[] | undefined {
  return grant === undefined && scope === undefined ? undefined : [...checkedGrants(grant), ...(scope ?? [])]
}

function formOf({ sha3 }: TableUserOptions): 'argon2id' | 'sha3' {
  return sha3 === true ? 'sha3' : 'argon2id'
}

function report(options: TableUserOptions, users: TableUsers, user: ShownUser, sentence: string): void {
  print(options.json === true ? JSON.stringify(shown(users, user)) : sentence)
}

function shown({ source, realm }: TableUsers, { user, scopes }: ShownUser): object {
  return { name: user, directory: source, realm, scopes: scopes ?? null }
}

function row({ user, scopes }: ShownUser): readonly string[] {
  return [user, scopes === undefined ? '(not a list of texts)' : scopes.join(' ')]
}

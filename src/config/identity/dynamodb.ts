import { z } from 'zod'
import { dynamodbDirectory } from '../../auth/directory/dynamodb.js'
import { TableUsers } from '../../auth/directory/table-users.js'
import { grantsOf } from '../../auth/directory/table-grants.js'
import { isTableName, readScopes } from '../../auth/directory/users-table.js'
import type { UsersTable } from '../../auth/directory/users-table.js'
import { SourceChanges } from '../../catalog/source-changes.js'
import { Failure, isFailure } from '../../core/failure.js'
import { isElsewhere, usersTableStatement } from '../policy-statements.js'
import { flag, grant, listOf, objectOf, oneOf, text } from '../schema-parts.js'
import { identityKind } from './kind.js'
import type { IdentityNeeds } from './kind.js'
import { pamLine } from './pam-line.js'

const schema = objectOf({
  table: text
    .regex(/^[A-Za-z0-9_.-]{3,255}$/, 'must be the name of a DynamoDB table')
    .meta({ description: 'The name of the table.' }),
  realm: text.max(2048).meta({ description: 'The hash key of its users.' }),
  region: text
    .regex(/^[a-z0-9-]{1,40}$/, 'must be a region such as eu-west-1')
    .optional()
    .meta({ description: 'The region of the table; without it what the environment of AWS says.' }),
  sortKey: oneOf('user', 'username').default('user').meta({
    description: 'What the range key is called: `user` (the default) or `username`. `postern check` tries both.',
  }),
  endpoint: z
    .url({ protocol: /^https?$/, error: 'must be a URL such as http://127.0.0.1:8000' })
    .optional()
    .meta({
      description: 'Where a table of your own answers, instead of AWS.',
    }),
  grants: listOf(grant).default([]).meta({
    description: 'What users may do whose `scopes` hold no grant; `{user}` stands for the name. Nothing without it.',
  }),
  scopeGrants: z
    .record(text.regex(/^[^:]+$/, 'must be a word without a colon'), listOf(grant), {
      error: 'must be words with grants',
    })
    .default({})
    .meta({
      description: 'What words among the `scopes` stand for: `{ admin: ["rw:/**"] }`. Other words count for nothing.',
    }),
  rehash: flag.default(false).meta({
    description:
      'Put an argon2id hash in place of a SHA3 one when its user logs in. Needs `dynamodb:UpdateItem`; programs that know SHA3 only cannot check such a user any more.',
  }),
})

/** The users table of pam-dynamo. */
export const dynamodbKind = identityKind({
  description:
    'The users table of pam-dynamo in DynamoDB, as it is: `realm` and `user` as key, `password` in SHA3-256 with an optional `salt`, or in argon2id, and `scopes`. Credentials come from the default chain of the AWS SDK. Instead of keys it takes the words of the PAM line: `dynamodb: REGION TABLE REALM CACHE_FOLDER CACHE_DURATION`. See [identity.md](identity.md).',
  example: 'dynamodb: { table: basicAuthUsers, realm: dav, region: eu-west-1, grants: ["rw:/{user}/**"] }',
  schema,
  shorthand: pamLine,
  async open(name, settings, needs) {
    const { table, changes } = await openTable(settings, needs)
    const { realm, grants, scopeGrants, rehash } = settings
    const { hasher, warn } = needs
    return {
      directory: dynamodbDirectory({ name, table, hasher, changes, grants, scopeGrants, rehash, warn }),
      users: new TableUsers({ source: name, realm, table, hasher, changes }),
      close: async () => table.close(),
    }
  },
  async probe(settings) {
    const fault = await faultOf(settings)
    if (fault === undefined) return `the table ${settings.table} answers`
    const other = settings.sortKey === 'user' ? 'username' : 'user'
    if ((await faultOf({ ...settings, sortKey: other })) === undefined)
      throw new Failure('invalid', `The sort key of the table ${settings.table} is ${other}: set sortKey: ${other}`)
    return fault
  },
  async lookUp(settings, user) {
    const row = isTableName(user) ? await withTable(settings, (table) => table.find(user)) : undefined
    if (row === undefined) return []
    const what = 'user'
    const scopes = readScopes(row)
    if (typeof scopes === 'string') return [{ what, refused: scopes }]
    try {
      return [{ what, grants: grantsOf(scopes, settings, user) }]
    } catch (error) {
      if (isFailure(error, 'invalid', 'denied')) return [{ what, refused: error.message }]
      throw error
    }
  },
  rights: (settings, where) =>
    isElsewhere(settings.endpoint) ? 'elsewhere' : [usersTableStatement(settings, where(settings.region))],
  async manage(name, settings, needs) {
    const { realm } = settings
    return new TableUsers({ source: name, realm, hasher: needs.hasher, ...(await openTable(settings, needs)) })
  },
})

type TableSettings = z.output<typeof schema>

async function openTable(
  settings: TableSettings,
  { catalog, clock }: Pick<IdentityNeeds, 'catalog' | 'clock'>,
): Promise<{ readonly table: UsersTable; readonly changes: SourceChanges }> {
  const { table, realm, region, endpoint } = settings
  const place = JSON.stringify(['dynamodb', endpoint ?? region ?? '', table, realm])
  return { table: await tableOf(settings), changes: new SourceChanges(catalog, clock, place) }
}

async function tableOf({ table, realm, sortKey, region, endpoint }: TableSettings): Promise<UsersTable> {
  const { DynamodbTable } = await import('../../auth/directory/dynamodb-table.js')
  return new DynamodbTable({
    table,
    realm,
    sortKey,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
  })
}

async function withTable<Found>(settings: TableSettings, work: (table: UsersTable) => Promise<Found>): Promise<Found> {
  const table = await tableOf(settings)
  try {
    return await work(table)
  } finally {
    table.close()
  }
}

/** Why the table does not answer; undefined where it does. */
async function faultOf(settings: TableSettings): Promise<string | undefined> {
  try {
    await withTable(settings, (table) => table.find('postern-check'))
    return undefined
  } catch (error) {
    if (isFailure(error, 'unavailable')) return error.message
    throw error
  }
}

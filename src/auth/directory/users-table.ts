/** The rows of one realm in a users table of DynamoDB. Every verb throws `unavailable` where the table does not answer in time or at all. */
export interface UsersTable {
  /** What the row of a user holds beside its key; undefined without one. Eventually consistent unless told otherwise. */
  find(user: string, options?: { readonly consistent?: boolean }): Promise<TableRow | undefined>
  /** Another hash for the same password, but only while the row still holds the one that was checked: else false. */
  rehash(user: string, seen: Pick<TableUser, 'hash' | 'salt'>, hash: string): Promise<boolean>
  /**
   * Sets what is given and keeps the rest of a row. Throws `exists` for a `new` one that is there, `not-found` for an
   * `existing` one that is not.
   */
  write(user: string, change: RowChange, which: 'new' | 'existing' | 'any'): Promise<'made' | 'changed'>
  /** Throws `not-found`. */
  remove(user: string): Promise<void>
  /** The users of the realm with their rows, without any hash, in the order of their names, in batches. */
  list(): AsyncIterable<readonly ListedRow[]>
  close(): void
}

/** What the row of a user is made to hold. A hash without a salt takes an old salt away. */
export interface RowChange {
  readonly password?: { readonly hash: string; readonly salt?: string }
  readonly scopes?: readonly string[]
}

/** Attribute values as DynamoDB's API types them: `{ S: … }`, `{ L: […] }`. Whoever wrote them is not to be relied on. */
export type TableRow = Readonly<Record<string, unknown>>

export interface ListedRow {
  readonly user: string
  readonly row: TableRow
}

/** A row that has been understood. */
export interface TableUser {
  readonly form: 'sha3' | 'argon2id'
  readonly hash: string
  /** Before the password in a SHA3 hash. */
  readonly salt?: string
  readonly scopes: readonly string[]
}

/** Most entries of `scopes` that are looked at, and most characters of one. */
const maxScopes = 256
const maxScopeLength = 1024

const maxSaltBytes = 1024

const maxKeyBytes = 1024

/** Whether a table can have a row for this name: 1 to 1,024 bytes (the limit of a sort key), none of them a control character. */
export function isTableName(user: string): boolean {
  return user !== '' && user.isWellFormed() && Buffer.byteLength(user) <= maxKeyBytes && !/\p{Cc}/u.test(user)
}

/**
 * Reads a row; a text says what is wrong with it, without anything out of it. `NULL` counts as an absent attribute.
 * `bearable` tells an argon2id hash that a login may check.
 */
export function readRow(row: TableRow, bearable: (hash: string) => boolean): TableUser | string {
  const hash = textIn(row['password'])
  if (hash === undefined) return 'it has no password'
  if (hash === wrongType) return 'its password is not a text'
  const salt = textIn(row['salt'])
  if (salt === wrongType) return 'its salt is not a text'
  if (salt !== undefined && Buffer.byteLength(salt) > maxSaltBytes)
    return `its salt is longer than ${maxSaltBytes} bytes`
  const scopes = readScopes(row)
  if (typeof scopes === 'string') return scopes
  if (/^[0-9a-f]{64}$/.test(hash))
    return { form: 'sha3', hash, scopes, ...(salt !== undefined && salt !== '' && { salt }) }
  return bearable(hash)
    ? { form: 'argon2id', hash, scopes }
    : 'its password is neither SHA3-256 in lower-case hex nor argon2id of a bearable cost'
}

/** The `scopes` of a row; a text says what is wrong with them. */
export function readScopes(row: TableRow): readonly string[] | string {
  const value = row['scopes']
  if (value === undefined || (isRecord(value) && value['NULL'] === true)) return []
  const wrong = 'its scopes are not a list of texts'
  if (!isRecord(value)) return wrong
  const entries: unknown = 'SS' in value ? value['SS'] : value['L']
  if (!Array.isArray(entries)) return wrong
  if (entries.length > maxScopes) return `it has more than ${maxScopes} scopes`
  const scopes: string[] = []
  for (const entry of entries as readonly unknown[]) {
    const scope = typeof entry === 'string' ? entry : textIn(entry)
    if (scope === undefined || scope === wrongType) return wrong
    if (scope.length > maxScopeLength) return `one of its scopes has more than ${maxScopeLength} characters`
    scopes.push(scope)
  }
  return scopes
}

const wrongType = Symbol('wrong type')

function textIn(value: unknown): string | undefined | typeof wrongType {
  if (value === undefined) return undefined
  if (!isRecord(value)) return wrongType
  if (value['NULL'] === true) return undefined
  return typeof value['S'] === 'string' ? value['S'] : wrongType
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

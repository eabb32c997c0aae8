import type { AccountEvent } from '../../auth/audit.js'
import type { PasswordForm, ShownUser, TableUsers, UserChange } from '../../auth/directory/table-users.js'
import { compileGrants, parseGrant } from '../../auth/grant.js'
import type { Identity } from '../../auth/identity.js'
import { principalOf } from '../../auth/identity.js'
import type { Permit } from '../../auth/permit.js'
import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { toPath } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'
import { json, refusal } from './failures.js'

/** Where the calls of the old user manager are; what follows is as it was: `/api/realm/…`. */
export const usersPath = toPath('/-/users')

export interface UsersCallsOptions {
  readonly authenticate: (request: HttpRequest) => Promise<Identity>
  /** The tables of the configuration. */
  readonly users: readonly TableUsers[]
  /** Told who has changed which user. */
  readonly audit: (event: AccountEvent) => void
}

/** Longest body of a call. */
export const mostCallBytes = 64 * 1024

/**
 * The HTTP calls of the companion user manager of pam-dynamo, below `/-/users`, with statuses that say what happened and
 * without any hash in an answer. Open to those with a grant that names `/-/users` itself: `rw:/**` is none.
 */
export function createUsersCalls(
  options: UsersCallsOptions,
): (request: HttpRequest, path: StorePath) => Promise<HttpResponse> {
  return async (request, path) => {
    const identity = await options.authenticate(request)
    const permit = managingPermit(identity)
    if (identity.source === 'anonymous') throw new Failure('unauthenticated', 'This needs a login.')
    try {
      return await answer(request, path, permit, identity, options)
    } catch (error) {
      const refused = error instanceof Failure ? refusal(error) : undefined
      if (refused === undefined) throw error
      return refused
    }
  }
}

async function answer(
  request: HttpRequest,
  path: StorePath,
  permit: Permit,
  identity: Identity,
  { users, audit }: UsersCallsOptions,
): Promise<HttpResponse> {
  const { method } = request
  const isRead = method === 'GET' || method === 'HEAD'
  const demand = (allowed: boolean): void => {
    if (!allowed) throw new Failure('denied', 'This needs a grant that names /-/users.')
  }
  const [api, word, realm, userWord, user, ...more] = path.split('/').slice(3)
  if (api !== 'api' || more.length > 0) throw noSuchCall()
  if (word === undefined) {
    demand(permit.allows('list', path))
    return isRead ? json(200, { ping: 'pong' }) : notAllowed('GET, HEAD')
  }
  if (word !== 'realm') throw noSuchCall()
  if (realm === undefined) {
    demand(permit.allows('list', path))
    return isRead ? json(200, { data: [...new Set(users.map((table) => table.realm))] }) : notAllowed('GET, HEAD')
  }
  demand((['read', 'list', 'create', 'replace', 'delete'] as const).some((action) => permit.allows(action, path)))
  const table = users.find((one) => one.realm === realm)
  if (table === undefined) throw new Failure('not-found', 'There is no such realm.')
  if (userWord === undefined) {
    demand(permit.allows('list', path))
    return isRead ? json(200, { data: await listed(table) }) : notAllowed('GET, HEAD')
  }
  if (userWord !== 'user' || user === undefined) throw noSuchCall()
  const told = (what: 'made' | 'changed' | 'removed'): void => {
    const { address } = request.peer
    const by = principalOf(identity)
    const { source } = table
    audit({ event: 'user-changed', what, source, realm, user, by, ...(address !== undefined && { address }) })
  }
  switch (method) {
    case 'GET':
    case 'HEAD': {
      demand(permit.allows('read', path))
      const found = await table.find(user)
      if (found === undefined) throw new Failure('not-found', 'item does not exist')
      return json(200, { data: shown(table, found) })
    }
    case 'POST': {
      const [create, replace] = [permit.allows('create', path), permit.allows('replace', path)]
      demand(create || replace)
      const change = await readChange(request)
      const done = await table.write(user, change, create && replace ? 'any' : create ? 'new' : 'existing')
      told(done)
      const made = (await table.find(user)) ?? { user, scopes: change.scopes }
      return json(done === 'made' ? 201 : 200, shown(table, made))
    }
    case 'DELETE':
      demand(permit.allows('delete', path))
      try {
        await table.remove(user)
      } catch (error) {
        if (error instanceof Failure && error.kind === 'not-found') return json(404, { status: 'item does not exist' })
        throw error
      }
      told('removed')
      return json(200, { status: 'deleted' })
    default:
      return notAllowed('GET, HEAD, POST, DELETE')
  }
}

/** What the grants that name a path of this folder allow: a grant on all files is none on users. */
function managingPermit(identity: Identity): Permit {
  const own = identity.grants.filter((text) => {
    const pattern = parseGrant(text).text.slice(text.indexOf(':') + 1)
    return pattern === usersPath || pattern.startsWith(`${usersPath}/`)
  })
  return compileGrants(own, identity.source)
}

async function listed(table: TableUsers): Promise<readonly object[]> {
  const all: object[] = []
  for await (const some of table.list()) for (const { user } of some) all.push({ realm: table.realm, user })
  return all
}

function shown({ realm }: TableUsers, { user, scopes }: ShownUser): object {
  return { realm, user, scopes: scopes ?? [] }
}

/** The fields of the old manager, `password` and `salt`, with its errors; beside them `hash: "argon2id"` and `scopes`. */
async function readChange(request: HttpRequest): Promise<UserChange> {
  if (!/^application\/json\s*(?:;|$)/i.test(header(request, 'content-type') ?? ''))
    throw new Failure('media-type', 'Request must be JSON.')
  const body = await readJson(request)
  const { password, salt, hash, scopes, ...others } = body
  const [other] = Object.keys(others)
  if (other !== undefined) throw new Failure('invalid', `${JSON.stringify(other)} is not a field that is known`)
  if (typeof password !== 'string' || password === '') throw new Failure('invalid', "'password' field is mandatory")
  if (hash !== undefined && hash !== 'argon2id') throw new Failure('invalid', "'hash' field can only be 'argon2id'")
  if (scopes !== undefined && !isTexts(scopes))
    throw new Failure('invalid', "'scopes' field can only be a list of texts")
  return { password, form: hash === undefined ? formOf(salt) : 'argon2id', ...(scopes && { scopes }) }
}

function formOf(salt: unknown): PasswordForm {
  if (salt === undefined) throw new Failure('invalid', "'salt' field is mandatory")
  if (salt !== 'yes' && salt !== 'no') throw new Failure('invalid', "'salt' field can only be 'yes' or 'no'")
  return salt === 'yes' ? 'sha3' : 'sha3-unsalted'
}

async function readJson(request: HttpRequest): Promise<Readonly<Record<string, unknown>>> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of request.body) {
    bytes += part.length
    if (bytes > mostCallBytes) throw new Failure('too-large', 'The body is too large.', { size: mostCallBytes })
    parts.push(part)
  }
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(parts)))
  } catch {
    // What a parser says of a body may hold its password.
    throw new Failure('invalid', 'Request must be JSON.')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Failure('invalid', 'Request must be JSON.')
  return { ...value }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string')
}

function notAllowed(allowed: string): HttpResponse {
  return json(405, { error: `Only ${allowed}.` }, [['Allow', allowed]])
}

function noSuchCall(): Failure {
  return new Failure('not-found', 'There is no such call.')
}

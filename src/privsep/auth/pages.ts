import { Failure } from '../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { isWithin, parseTarget, withoutBase } from '../../core/path.js'
import { createUsersCalls, mostCallBytes, usersPath } from '../../protocol/admin/users.js'
import { mostRequestBytes, readSentRequest } from '../sent-request.js'
import type { Answer, Asked, Table } from '../wire/link.js'
import type { Knowledge } from './knowledge.js'

/** A list of users, at most. */
export const mostPageBytes = 16 * 1024 * 1024

/**
 * `page {request}` with its body: the answer of `/-/users`. Whoever calls is asked for here who they are, whatever the front
 * says of them, and what is asked for is read from the request: a front can manage no users in nobody's name but theirs who
 * show it their passwords.
 */
export function pagesPart({
  authenticator,
  users,
  basePath,
  noteAccount,
}: Pick<Knowledge, 'authenticator' | 'users' | 'basePath' | 'noteAccount'>): Table {
  const calls = createUsersCalls({
    authenticate: (request) => authenticator.authenticate(request),
    users,
    audit: noteAccount,
  })
  return {
    page: {
      maxBytes: mostRequestBytes + mostCallBytes + 1,
      handle: async (asked) => {
        const request = requestOf(asked)
        const { path } = withoutBase(parseTarget(request.target), basePath)
        if (users.length === 0 || !isWithin(path, usersPath)) throw new Failure('not-found', 'There is no such page.')
        return answerOf(await calls(request, path))
      },
    },
  }
}

function requestOf(asked: Asked): HttpRequest {
  return {
    ...readSentRequest(asked.head),
    body: (async function* () {
      yield asked.bytes
    })(),
    listener: '',
    signal: asked.signal,
  }
}

function answerOf({ status, headers, body }: HttpResponse): Answer {
  const bytes = body instanceof Uint8Array ? body : Buffer.alloc(0)
  if (bytes.length > mostPageBytes) throw new Failure('too-large', 'There are too many users to list them all.')
  return { head: { status, headers }, bytes }
}

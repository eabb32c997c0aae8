import { z } from 'zod'
import { forwardDirectory } from '../../auth/directory/forward.js'
import { isOpenToOthers, isServiceUrl, openAuthService } from '../../auth/directory/forward-service.js'
import { isFailure } from '../../core/failure.js'
import { grant, listOf, objectOf, text, whole } from '../schema-parts.js'
import { identityKind } from './kind.js'
import { reasonIn } from './reason-in.js'

const headerName = text
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$/, 'must be the name of a header')
  .transform((name) => name.toLowerCase())

/** What the question itself says, and what belongs to the connection. */
const reserved =
  /^(?:authorization|x-api-(?:key|secret)|x-original-(?:uri|method)|x-forwarded-.*|x-real-ip|host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive|proxy-.*)$/

const ownHeaders = z
  .record(
    headerName.refine((name) => !reserved.test(name), 'is a header that Postern itself sends'),
    z.string({ error: 'must be text' }).regex(/^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/, 'must be printable ASCII'),
    { error: 'must be a group of header names and values' },
  )
  .default({})

/** An outside service that decides about every request. */
export const forwardKind = identityKind({
  description:
    'An outside HTTP service that is asked about every request, as nginx asks with `auth_request`: any 2xx lets it pass, 401 refuses the login, 403 the request; anything else is answered 503. It sees method and path, and the credential of the client, never a body. It cannot say that it does not know a name, so it stands last in the list.',
  example: 'forward: { url: "http://127.0.0.1:9000/auth", grants: ["rw:/home/{user}/**"] }',
  schema: objectOf({
    url: text
      .refine(isServiceUrl, 'must be like http://127.0.0.1:9000/auth or http://unix:/run/auth.sock:/auth')
      .meta({ description: 'What is asked: `http://…`, `https://…`, or `http://unix:/run/auth.sock:/auth`.' }),
    grants: listOf(grant).min(1, 'must not be empty').meta({
      description:
        'What everybody may do whom it lets in; `{user}` stands for the name. Both the service and a grant must allow a request.',
    }),
    groupGrants: z
      .record(text, listOf(grant), { error: 'must be a group of group names and grants' })
      .default({})
      .meta({ description: 'What the members of a group may do besides: `{ editors: ["rw:/shared/**"] }`.' }),
    timeoutSeconds: whole(1, 60).default(5).meta({
      description: 'How long an answer may take; 5 without it.',
    }),
    headers: ownHeaders.meta({
      description: 'Headers to send along, such as one that proves to the service who asks.',
    }),
    nameHeaders: listOf(headerName).default(['remote-user', 'x-auth-request-user', 'x-forwarded-user']).meta({
      description:
        'The first of these in the answer names the caller; `Remote-User`, `X-Auth-Request-User`, `X-Forwarded-User` without it. Where the answer has none, it is the name or key id that the client showed.',
    }),
    groupHeaders: listOf(headerName).default(['remote-groups', 'x-auth-request-groups', 'x-forwarded-groups']).meta({
      description:
        'The first of these in the answer lists its groups, separated by commas; `Remote-Groups`, `X-Auth-Request-Groups`, `X-Forwarded-Groups` without it.',
    }),
  }),
  async open(name, settings, { clock, secret, cacheSeconds, basePath, warn }) {
    const { url, timeoutSeconds, headers, groupGrants, ...rest } = settings
    if (isOpenToOthers(url))
      warn({ source: name }, 'logins are passed to the service over plain HTTP, where others may read them')
    const service = openAuthService({ url, timeoutSeconds })
    const directory = forwardDirectory({
      ...rest,
      name,
      service,
      clock,
      secret,
      cacheSeconds,
      basePath,
      headers: new Map(Object.entries(headers)),
      groupGrants: new Map(Object.entries(groupGrants)),
    })
    return { directory, close: async () => service.close() }
  },
  async probe({ url, timeoutSeconds, headers }) {
    const service = openAuthService({ url, timeoutSeconds })
    try {
      const asked = new Map([...Object.entries(headers), ['x-original-uri', '/'], ['x-original-method', 'GET']])
      const { status } = await service.ask(asked)
      if (status === 401 || status === 403) return `the service answers, and refuses who shows nothing (${status})`
      return status >= 200 && status < 300
        ? `the service answers ${status} to somebody without any login: is that meant?`
        : `the service answers ${status}, so callers get a 503: look at its URL and its log`
    } catch (error) {
      if (isFailure(error, 'unavailable'))
        return `the service does not answer, so callers get a 503: ${reasonIn(error)}`
      throw error
    } finally {
      service.close()
    }
  },
})

import { Failure, isFailure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { Header, HttpResponse } from '../../core/http.js'
import { encodePath } from '../../core/path.js'
import type { Entry } from '../../store/store.js'
import { preferredType } from './accept.js'
import { compressed } from './compress.js'
import { queryOf } from './file-context.js'
import type { FileContext } from './file-context.js'
import { pagePolicy } from './html.js'
import { htmlListing } from './listing-html.js'
import { jsonListing } from './listing-json.js'
import { listOptionsOf, parseListingQuery, select } from './listing-query.js'
import { textListing } from './listing-text.js'

const forms = ['text/plain', 'application/json', 'text/html'] as const

/**
 * A directory as text, JSON or a page, by `Accept`; streamed. A browser that leaves out the trailing slash is sent to the
 * form with it, so that relative links hold; no one else is ever redirected. Throws `not-found` (a file with a slash
 * behind it too), `denied`, `invalid` for an unknown `depth`.
 */
export async function listDirectory(context: FileContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const form = preferredType(header(request, 'accept'), forms) ?? 'text/plain'
  if (form === 'text/html' && !target.slash) return redirect(context)
  const query = parseListingQuery(queryOf(context))
  const headers: Header[] = [
    ['Content-Type', `${form}; charset=utf-8`],
    ['Vary', 'Accept'],
    ['Cache-Control', 'no-cache'],
    ['X-Content-Type-Options', 'nosniff'],
    ['Content-Security-Policy', form === 'text/html' ? pagePolicy() : "default-src 'none'; frame-ancestors 'none'"],
  ]
  if (request.method === 'HEAD') return { status: 200, headers }
  const depth = query.depth ?? (form === 'text/plain' ? 'infinity' : 1)
  const listed = select(
    orNotFound(
      session.store.list(target.path, { ...listOptionsOf(target.path, query, depth), signal: request.signal }),
    ),
    target.path,
    query,
  )
  const body =
    form === 'text/html'
      ? htmlListing(listed, target.path, session.basePath)
      : form === 'application/json'
        ? jsonListing(listed, target.path)
        : textListing(listed, query.depth !== undefined)
  return compressed(request, { status: 200, headers, body })
}

function redirect({ target, session }: FileContext): HttpResponse {
  const query = /^[\x21-\x7e]+$/.test(target.query) ? `?${target.query}` : ''
  return {
    status: 301,
    headers: [
      ['Location', `${session.basePath}${encodePath(target.path)}/${query}`],
      ['Vary', 'Accept'],
      ['Cache-Control', 'no-cache'],
      ['Content-Length', '0'],
    ],
  }
}

/** A file under a name with a slash behind it is not there. */
async function* orNotFound(batches: AsyncIterable<readonly Entry[]>): AsyncGenerator<readonly Entry[]> {
  try {
    yield* batches
  } catch (cause) {
    if (isFailure(cause, 'not-directory'))
      throw new Failure('not-found', 'There is no directory of that name.', { cause })
    throw cause
  }
}

import { createHash } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import { header, httpDate } from '../../core/http.js'
import type { Header, HttpResponse } from '../../core/http.js'
import { nameOf } from '../../core/path.js'
import { contentBytes } from '../../store/content-bytes.js'
import type { ByteRange, Content, Entry } from '../../store/store.js'
import { evaluate, rangeApplies, readPreconditions, wantedBytes } from '../conditional.js'
import { quoteEntityTag } from '../entity-tag.js'
import { attachment, contentTypeOf, essenceOf, isActive, isFieldValue } from './content-type.js'
import { reprDigest, type WantedDigest, wantedDigest } from './digest-fields.js'
import { contentBody } from './file-bytes.js'
import type { FileContext } from './file-context.js'
import { listDirectory } from './listing.js'
import { multipart } from './multipart.js'
import { redirectToStore } from './redirect.js'
import { contentRange, parseRange } from './ranges.js'

/** Larger files get a `Repr-Digest` only where it is known already. */
const mostHashedBytes = 64 * 1024 * 1024

/**
 * GET and HEAD of a file with ranges, conditions and digests (RFC 9110 §9.3.1, §13, §14; RFC 9530); of a directory, its
 * listing. Throws `not-found`, `denied`, `precondition`, `bad-range`. More than `redirectOver` bytes
 * are left to the storage service, where it gives URLs (`redirect.ts`). The body owns an open file: send it or close it.
 */
export async function getFile(context: FileContext, redirectOver = Infinity): Promise<HttpResponse> {
  const { request, target, session } = context
  if (request.method === 'HEAD') return headFile(context)
  if (target.slash) return listDirectory(context)
  let content: Content
  try {
    // Without the signal: to make one costs more than most files, and whoever opened it closes it.
    content = await session.store.open(target.path, wantedBytes(request) ?? firstBytes(redirectOver))
  } catch (error) {
    if (isFailure(error, 'is-directory') || (isFailure(error, 'denied') && (await isDirectory(context))))
      return listDirectory(context)
    throw error
  }
  let kept = false
  try {
    const response = await answer(context, content, redirectOver)
    kept = response.body !== undefined
    return response
  } finally {
    if (!kept) await content.close()
  }
}

async function headFile(context: FileContext): Promise<HttpResponse> {
  const { request, target, session } = context
  const entry = await session.store.stat(target.path, request.signal)
  if (entry === undefined) throw new Failure('not-found', 'There is nothing of that name.')
  if (entry.kind === 'directory') return listDirectory(context)
  if (target.slash) throw new Failure('not-found', 'There is no directory of that name.')
  // A stat is allowed to whoever may list; the properties of the content belong to readers.
  if (!session.permit.allows('read', target.path)) throw new Failure('denied', 'Reading this is not allowed.')
  if (evaluate(readPreconditions(request), entry, 'HEAD') === 'not-modified') return notModified(entry)
  return { status: 200, headers: [...(await fileHeaders(context, entry)), ['Content-Length', String(entry.size)]] }
}

async function answer(context: FileContext, content: Content, redirectOver: number): Promise<HttpResponse> {
  const { request } = context
  const { entry } = content
  if (evaluate(readPreconditions(request), entry, 'GET') === 'not-modified') return notModified(entry)
  const ranges = requestedRanges(context, entry)
  const elsewhere = await redirected(context, entry, ranges, redirectOver)
  if (elsewhere !== undefined) return elsewhere
  const headers = await fileHeaders(context, entry)
  const [first, second] = ranges ?? []
  if (first === undefined) {
    headers.push(['Content-Length', String(entry.size)])
    return { status: 200, headers, body: contentBody(content) }
  }
  if (second === undefined) {
    headers.push(
      ['Content-Length', String(first.end - first.start)],
      ['Content-Range', contentRange(first, entry.size)],
    )
    return { status: 206, headers, body: contentBody(content, first) }
  }
  return multipart(context, content, headers, ranges ?? [])
}

/** Of a file that is larger no more will be sent. */
function firstBytes(redirectOver: number): { readonly part: ByteRange } | undefined {
  return redirectOver === Infinity ? undefined : { part: { start: 0, end: redirectOver } }
}

/** The way past this server, for more bytes than may go through it; undefined where there is none. */
async function redirected(
  { session }: FileContext,
  entry: Entry,
  ranges: readonly ByteRange[] | undefined,
  redirectOver: number,
): Promise<HttpResponse | undefined> {
  const bytes = ranges?.reduce((sum, { start, end }) => sum + end - start, 0) ?? entry.size
  if (bytes <= redirectOver) return undefined
  const type = contentTypeOf(entry)
  return redirectToStore(session, entry, { type, disposition: dispositionOf(entry, type), headers: validators(entry) })
}

function requestedRanges(context: FileContext, entry: Entry): readonly ByteRange[] | undefined {
  const field = header(context.request, 'range')
  if (field === undefined || !rangeApplies(header(context.request, 'if-range'), entry, Date.now())) return undefined
  const ranges = parseRange(field, entry.size)
  if (ranges === 'unsatisfiable')
    throw new Failure('bad-range', `The file has ${entry.size} bytes; none of them was asked for.`, {
      size: entry.size,
    })
  return ranges
}

function notModified(entry: Entry): HttpResponse {
  const headers = validators(entry)
  for (const name of ['cache-control', 'expires']) {
    const value = entry.attributes?.[name]
    if (value !== undefined && isFieldValue(value)) headers.push([titleCase(name), value])
  }
  return { status: 304, headers }
}

async function fileHeaders(context: FileContext, entry: Entry): Promise<Header[]> {
  const type = contentTypeOf(entry)
  const headers = validators(entry)
  headers.push(
    ['Content-Type', type],
    ['Accept-Ranges', 'bytes'],
    ['X-Content-Type-Options', 'nosniff'],
    ['Content-Security-Policy', policyFor(type)],
  )
  const { attributes } = entry
  const disposition = dispositionOf(entry, type)
  if (disposition !== undefined) headers.push(['Content-Disposition', disposition])
  if (attributes !== undefined)
    for (const name of ['cache-control', 'content-encoding', 'content-language', 'expires']) {
      const value = attributes[name]
      if (value !== undefined && value !== '' && isFieldValue(value)) headers.push([titleCase(name), value])
    }
  const wanted = wantedDigest(context.request)
  const digest = wanted === undefined ? undefined : await digestField(context, entry, wanted)
  if (digest !== undefined) headers.push(['Repr-Digest', digest])
  return headers
}

/** What would act in a browser is only saved there. */
function dispositionOf({ path, attributes }: Entry, type: string): string | undefined {
  const said = attributes?.['content-disposition']
  const disposition = said !== undefined && isFieldValue(said) ? said : undefined
  const isSaved = disposition !== undefined && /^attachment\b/i.test(disposition)
  return isActive(type) && !isSaved ? attachment(nameOf(path)) : disposition
}

function validators(entry: Entry): Header[] {
  return [
    ['ETag', quoteEntityTag(entry.etag)],
    ['Last-Modified', httpDate(entry.modified)],
  ]
}

const strictPolicy =
  "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
// Browsers refuse to show a PDF in a sandbox; its own viewer keeps its scripts away from our origin.
const documentPolicy =
  "default-src 'none'; object-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'"

function policyFor(type: string): string {
  return essenceOf(type) === 'application/pdf' ? documentPolicy : strictPolicy
}

async function digestField(context: FileContext, entry: Entry, wanted: WantedDigest): Promise<string | undefined> {
  const known = entry.digests === undefined ? undefined : reprDigest(wanted, entry.digests)
  if (known !== undefined || entry.size > mostHashedBytes) return known
  try {
    const { store } = context.session
    const content = await store.open(entry.path, { ifMatch: [entry.etag], signal: context.request.signal })
    const hash = createHash(wanted.name)
    for await (const piece of contentBytes(content)) hash.update(piece)
    return reprDigest(wanted, { [wanted.name]: hash.digest() })
  } catch (error) {
    // The file changed or went in between: the bytes that are sent are still those of the entry, only their digest is unknown.
    if (isFailure(error, 'precondition', 'not-found', 'is-directory', 'incomplete')) return undefined
    throw error
  }
}

async function isDirectory({ request, target, session }: FileContext): Promise<boolean> {
  try {
    return (await session.store.stat(target.path, request.signal))?.kind === 'directory'
  } catch (error) {
    if (isFailure(error, 'denied', 'not-found')) return false
    throw error
  }
}

function titleCase(name: string): string {
  return name.replace(/(?:^|-)[a-z]/g, (letter) => letter.toUpperCase())
}

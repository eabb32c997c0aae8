import { isFailure } from '../../core/failure.js'
import type { Header, HttpResponse } from '../../core/http.js'
import type { Entry } from '../../store/store.js'
import type { Session } from '../protocol.js'

/** For so long the URL of a download is good: whoever follows does so at once. */
const goodSeconds = 300

/**
 * 307 to a URL at which the storage service itself gives the bytes, with this type and disposition: for what is too large
 * to go through this server. Undefined where the store has no such URL, and the bytes are sent as ever. What it leads to is
 * the file as it is then. The range of a request stays: clients send it again.
 */
export async function redirectToStore(
  { store, permit }: Session,
  { path }: Entry,
  { type, disposition, headers = [] }: Shown,
): Promise<HttpResponse | undefined> {
  if (store.presign === undefined || !permit.allows('read', path)) return undefined
  const responses = {
    'response-content-type': type,
    ...(disposition !== undefined && { 'response-content-disposition': disposition }),
  }
  try {
    const url = await store.presign({ method: 'GET', path, expiresSeconds: goodSeconds, responses })
    return {
      status: 307,
      headers: [
        ['Location', url.href],
        ['Content-Length', '0'],
        // Whoever kept it would hand on the right of one caller, and for longer than it lasts.
        ['Cache-Control', 'no-store'],
        // The URL is nobody's business but the client's.
        ['Referrer-Policy', 'no-referrer'],
        ...headers,
      ],
    }
  } catch (error) {
    if (isFailure(error, 'unsupported')) return undefined
    throw error
  }
}

/** What the answer of the service is to say of the file. */
export interface Shown {
  readonly type: string
  readonly disposition?: string | undefined
  /** Of the redirect itself. */
  readonly headers?: readonly Header[]
}

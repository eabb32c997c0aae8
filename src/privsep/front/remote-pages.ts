import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'
import { mostCallBytes } from '../../protocol/admin/users.js'
import { sentRequest } from '../sent-request.js'
import type { Link } from '../wire/link.js'
import { patience } from './patience.js'

/** The calls below `/-/users`, which another process judges and answers as a whole. */
export function remoteUsersCalls(
  door: Pick<Link, 'ask'>,
): (request: HttpRequest, path: StorePath) => Promise<HttpResponse> {
  return async (request) => {
    const bytes = request.method === 'POST' ? await bodyOf(request) : Buffer.alloc(0)
    const question = { request: sentRequest(request) }
    const { head, bytes: body } = await door.ask('page', question, { bytes, signal: request.signal, ...patience })
    // Whoever knows all callers is to be believed.
    const { status, headers } = head as unknown as { readonly status: number; readonly headers: readonly Header[] }
    return { status, headers, body }
  }
}

/** One byte more than a call may have shows that there are too many. */
async function bodyOf({ body }: HttpRequest): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of body) {
    parts.push(part)
    bytes += part.length
    if (bytes > mostCallBytes) break
  }
  return Buffer.concat(parts).subarray(0, mostCallBytes + 1)
}

import type { Header, HttpResponse } from '../../core/http.js'
import { isFileRange } from '../../core/http.js'

/** Status and headers as a front takes them: one value by name, cookies apart. */
export interface AnswerHead {
  readonly status: number
  readonly headers: readonly Header[]
  readonly cookies: readonly string[]
}

/** Of a connection, of which there is none here (RFC 9110 §7.6.1). */
const connectionHeaders = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer'])

/**
 * Status and headers of an answer; undefined where one of them cannot be sent. Repeats are joined (RFC 9110 §5.3), and what is not
 * ASCII is percent-encoded, for fronts take headers as JSON and do not agree on what else that means.
 */
export function headOf({ status, headers }: Pick<HttpResponse, 'status' | 'headers'>): AnswerHead | undefined {
  const joined = new Map<string, Header>()
  const cookies: string[] = []
  for (const [name, value] of headers) {
    if (!/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/.test(name) || /[\0-\x08\n-\x1f\x7f]/.test(value)) return undefined
    const key = name.toLowerCase()
    if (connectionHeaders.has(key)) continue
    const text = /^[\t\x20-\x7e]*$/.test(value) ? value : value.replace(/[^\t\x20-\x7e]+/g, percentEncoded)
    if (key === 'set-cookie') cookies.push(text)
    else {
      const earlier = joined.get(key)
      joined.set(key, earlier === undefined ? [name, text] : [earlier[0], `${earlier[1]}, ${text}`])
    }
  }
  return { status, headers: [...joined.values()], cookies }
}

/** The bytes that an answer says it has, or shows; undefined where nobody knows yet. */
export function announcedBytes({ headers, body }: HttpResponse): number | undefined {
  if (body === undefined) return 0
  if (body instanceof Uint8Array) return body.length
  if (isFileRange(body)) return body.end - body.start
  const found = headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1]
  return found !== undefined && /^\d+$/.test(found) ? Number(found) : undefined
}

function percentEncoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { allowedType } from './allowed-type.js'
import { announcedLength, atMost, tooLarge } from './counted.js'
import type { Deposits } from './deposits.js'

export interface LargeSender {
  /** Bytes. */
  readonly most: number
  readonly types: readonly string[]
  readonly deposits: () => Promise<Deposits>
}

/** How long such a URL is good for. */
const expiresSeconds = 900
/** Of what says how large and which it will be. */
const mostPromiseBytes = 4096

/** `POST PATH?large` */
export function isLarge({ target }: Pick<HttpRequest, 'target'>): boolean {
  return /\?(?:.*&)?large(?:=?(?:&|$))/.test(target)
}

/**
 * A place for one file that the sender puts there itself: the body says `{ size, sha256, type }`, the answer where and with which
 * headers, all of them signed, so that the storage service takes these bytes and no others, and replaces nothing. Throws `invalid`,
 * `too-large`, `media-type`; `unsupported` where the store has no such places.
 */
export async function largeDrop(
  request: HttpRequest,
  { most, types, deposits }: LargeSender,
  clock: Clock,
  name: () => string,
): Promise<HttpResponse> {
  announcedLength(request, mostPromiseBytes)
  const promise = await promiseOf(request)
  if (promise.size > most) throw tooLarge(most)
  const type = allowedType(promise.type, types)
  const places = await deposits()
  if (places.presign === undefined) throw new Failure('unsupported', 'The storage of this drop gives no URLs.')
  const { key, url, headers } = await places.presign(name(), { ...promise, type, expiresSeconds })
  const expires = new Date(clock.now() + expiresSeconds * 1000).toISOString()
  return {
    status: 201,
    headers: [
      ['Content-Type', 'application/json'],
      ['Cache-Control', 'no-store'],
    ],
    body: Buffer.from(`${JSON.stringify({ method: 'PUT', url: url.href, headers, key, expires })}\n`),
  }
}

async function promiseOf(
  request: HttpRequest,
): Promise<{ readonly size: number; readonly sha256: Uint8Array; readonly type: string | undefined }> {
  const pieces: Uint8Array[] = []
  for await (const piece of atMost(request.body, mostPromiseBytes)) pieces.push(piece)
  const given = parsed(Buffer.concat(pieces).toString('utf8'))
  const size = 'size' in given ? given.size : undefined
  const sha256 = 'sha256' in given ? given.sha256 : undefined
  const type = 'type' in given ? given.type : undefined
  if (
    typeof size !== 'number' ||
    !Number.isSafeInteger(size) ||
    size < 0 ||
    typeof sha256 !== 'string' ||
    !/^[0-9a-f]{64}$/i.test(sha256) ||
    (type !== undefined && typeof type !== 'string')
  )
    throw new Failure(
      'invalid',
      'The body must be JSON: { "size": BYTES, "sha256": "64 HEX DIGITS", "type": "MEDIA/TYPE" }',
    )
  return { size, sha256: Buffer.from(sha256, 'hex'), type }
}

function parsed(text: string): object {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}

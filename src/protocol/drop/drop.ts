import type { Clock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { Header, HttpRequest, HttpResponse } from '../../core/http.js'
import type { Deposited, Deposits } from './deposits.js'
import { announcedLength, atMost } from './counted.js'
import { allowedType } from './allowed-type.js'
import { isLarge, largeDrop } from './large-drop.js'
import { createDropTimes, nameOfDrop, nameOfKey } from './names.js'

/** Who drops something, and under which rules. */
export interface Sender {
  /** As logs and the names of drops show it. */
  readonly name: string
  /** Whom an idempotency key belongs to; undefined for those who are nobody: one could take the key of another. */
  readonly principal: string | undefined
  /** Bytes. */
  readonly limit: number
  /** Media types, `image/*` among them; any where it is empty. */
  readonly types: readonly string[]
  /** Bytes of a file that the sender puts where it lies itself; without it there are none. */
  readonly large?: number | undefined
  /** Asked for once all that the request says of itself is right. */
  deposits(): Promise<Deposits>
}

/** `Door` is what `admit` needs beside the request. */
export interface DropOptions<Door> {
  /** Tells the names of one drop's idempotency keys from those of another. */
  readonly path: string
  readonly namePattern: string
  readonly clock: Clock
  /** Throws `unauthenticated`, in the words of the contract where it says them. */
  readonly admit: (request: HttpRequest, door: Door) => Promise<Sender>
  /** Told of each drop that is kept, once. Neither throws nor is waited for. */
  readonly onArrival?: ((arrival: Arrival) => void) | undefined
}

/** What has arrived, as a receipt says it. */
export interface Arrival extends Deposited {
  readonly sender: string
  readonly type?: string | undefined
}

/**
 * A drop: takes what senders bring and gives nothing back. Order, statuses and texts of its answers are the contract of
 * s3-dropbox (uktrade/s3-dropbox, `app.py`). Throws what `refusal` answers.
 */
export type Drop<Door> = (request: HttpRequest, door: Door) => Promise<HttpResponse>

export function createDrop<Door>({ path, namePattern, clock, admit, onArrival }: DropOptions<Door>): Drop<Door> {
  const times = createDropTimes(clock)
  return async (request, door) => {
    const sender = await admit(request, door)
    if (request.method !== 'POST') throw new Failure('method', 'Only POST is supported')
    if (sender.large !== undefined && isLarge(request))
      return await largeDrop(
        request,
        { types: sender.types, most: sender.large, deposits: () => sender.deposits() },
        clock,
        () => nameOfDrop(namePattern, { ...times(), sender: sender.name, fileName: fileNameOf(request) }),
      )
    announcedLength(request, sender.limit)
    const type = allowedType(header(request, 'content-type'), sender.types)
    const keyed = keyedName(request, path, sender)
    const deposits = await sender.deposits()
    const name = keyed ?? nameOfDrop(namePattern, { ...times(), sender: sender.name, fileName: fileNameOf(request) })
    const body = atMost(request.body, sender.limit)
    try {
      const stored = await deposits.put(name, body, { type, keyed: keyed !== undefined, signal: request.signal })
      const arrival = { ...stored, sender: sender.name, type }
      onArrival?.(arrival)
      return taken(request, arrival, clock)
    } catch (error) {
      // The store has judged it: nobody has looked before.
      if (keyed !== undefined && isFailure(error, 'precondition')) return repeated(request, deposits.keyOf(name))
      throw error
    }
  }
}

function taken(request: HttpRequest, { key, size, sha256, type }: Arrival, clock: Clock): HttpResponse {
  if (!wantsReceipt(request)) return accepted([])
  const received = new Date(clock.now()).toISOString()
  const digest = Buffer.from(sha256).toString('hex')
  return receipt({ key, size, sha256: digest, ...(type !== undefined && { type }), received }, [])
}

function repeated(request: HttpRequest, key: string): HttpResponse {
  const headers: readonly Header[] = [['Idempotency-Replayed', 'true']]
  return wantsReceipt(request) ? receipt({ key }, headers) : accepted(headers)
}

function accepted(headers: readonly Header[]): HttpResponse {
  return { status: 202, headers: [['Content-Type', 'text/plain'], ...headers], body: new Uint8Array(0) }
}

function receipt(content: Readonly<Record<string, unknown>>, headers: readonly Header[]): HttpResponse {
  return {
    status: 202,
    headers: [['Content-Type', 'application/json'], ['Cache-Control', 'no-store'], ...headers],
    body: Buffer.from(`${JSON.stringify(content)}\n`),
  }
}

/** Only who asks for it by name: what others accept anyhow gets the empty answer of the contract. */
function wantsReceipt(request: HttpRequest): boolean {
  return (header(request, 'accept') ?? '')
    .split(',')
    .some((part) => /^\s*application\/json\s*(?:;|$)/i.test(part) && !/;\s*q=0(?:\.0*)?\s*(?:;|$)/i.test(part))
}

/** draft-ietf-httpapi-idempotency-key-header: any text that the sender makes up. */
function keyedName(request: HttpRequest, path: string, { principal }: Sender): string | undefined {
  const key = header(request, 'idempotency-key')
  if (key === undefined) return undefined
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw new Failure('invalid', 'The idempotency-key header must be 1 to 255 visible characters')
  if (principal === undefined) throw new Failure('invalid', 'The idempotency-key header needs an authorization header')
  return nameOfKey(path, principal, key)
}

/** What the sender calls its file (RFC 6266, the forms that browsers and programs write); undefined where it cannot be read. */
function fileNameOf(request: HttpRequest): string | undefined {
  const text = header(request, 'content-disposition') ?? ''
  const encoded = /;\s*filename\*=UTF-8''([^\s;,]+)/i.exec(text)?.[1]
  const plain = /;\s*filename=(?:"([^"\\]*)"|([^\s;"]+))/i.exec(text)
  try {
    return encoded === undefined ? (plain?.[1] ?? plain?.[2]) : decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

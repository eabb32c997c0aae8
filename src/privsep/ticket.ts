import { createHmac, timingSafeEqual } from 'node:crypto'

/** What a ticket says: its bearer acts for this user until it expires, in one life of the user's process. */
export interface Ticket {
  /** As the system writes the name. */
  readonly user: string
  readonly uid: number
  /** A new one ends all tickets from before. */
  readonly generation: string
  /** Milliseconds since the epoch. */
  readonly expires: number
}

/** Whose ticket one says it is, which nobody has proved. */
export type TicketClaim = Pick<Ticket, 'uid' | 'generation'>

/** What a ticket must be for: by the clock of whoever reads it, in milliseconds. */
export interface TicketReading extends TicketClaim {
  readonly now: number
}

/** Longest text of a ticket. */
export const maxTicketLength = 1024

const version = 'v1'
const form = /^v1\.([A-Za-z0-9_-]{1,900})\.([A-Za-z0-9_-]{43})$/
const plainGeneration = /^[0-9a-f]{8,64}$/

/** The key of the tickets of one user's process, made of the master key, which only the broker has. */
export function workerKey(master: Uint8Array, uid: number, generation: string): Buffer {
  return createHmac('sha256', master).update(`worker:${uid}:${generation}`).digest()
}

/** The text of a ticket, under the key of its worker: `v1.` and in base64url what it says and its HMAC-SHA256. */
export function issueTicket(key: Uint8Array, { user, uid, generation, expires }: Ticket): string {
  const payload = Buffer.from(JSON.stringify({ user, uid, generation, expires })).toString('base64url')
  return `${version}.${payload}.${digestOf(key, payload)}`
}

/**
 * What a ticket says, where it was made with this key, for this worker, and has not expired; undefined for any other text
 * alike. Nothing of it is read before its HMAC has been compared, in constant time.
 */
export function readTicket(
  key: Uint8Array,
  text: unknown,
  { uid, generation, now }: TicketReading,
): Ticket | undefined {
  const parts = split(text)
  if (parts === undefined) return undefined
  // As text, for the last letter of base64url has bits that mean nothing.
  if (!timingSafeEqual(Buffer.from(parts.digest), Buffer.from(digestOf(key, parts.payload)))) return undefined
  const ticket = parse(parts.payload)
  if (ticket === undefined || ticket.uid !== uid || ticket.generation !== generation) return undefined
  return ticket.expires > now ? ticket : undefined
}

/** Which worker a ticket claims to be for, so that its key can be found; undefined where it has not even the form of one. */
export function claimOf(text: unknown): TicketClaim | undefined {
  const parts = split(text)
  const ticket = parts === undefined ? undefined : parse(parts.payload)
  return ticket === undefined ? undefined : { uid: ticket.uid, generation: ticket.generation }
}

function split(text: unknown): { readonly payload: string; readonly digest: string } | undefined {
  if (typeof text !== 'string' || text.length > maxTicketLength) return undefined
  const [, payload, digest] = form.exec(text) ?? []
  return payload === undefined || digest === undefined ? undefined : { payload, digest }
}

function digestOf(key: Uint8Array, payload: string): string {
  return createHmac('sha256', key).update(`${version}.${payload}`).digest('base64url')
}

function parse(payload: string): Ticket | undefined {
  let read: unknown
  try {
    read = JSON.parse(Buffer.from(payload, 'base64url').toString())
  } catch {
    return undefined
  }
  if (typeof read !== 'object' || read === null) return undefined
  const { user, uid, generation, expires } = read as Readonly<Record<string, unknown>>
  if (typeof user !== 'string' || user === '') return undefined
  if (typeof generation !== 'string' || !plainGeneration.test(generation)) return undefined
  if (typeof uid !== 'number' || !Number.isInteger(uid) || uid < 0 || uid > 0xffff_fffe) return undefined
  return typeof expires === 'number' && Number.isSafeInteger(expires) ? { user, uid, generation, expires } : undefined
}

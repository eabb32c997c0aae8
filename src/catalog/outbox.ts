import { createHash, randomUUID } from 'node:crypto'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { Catalog, Item } from './catalog.js'
import { createSeal } from './seal.js'

export type OutboxKind = 'mail' | 'webhook'

/** What is to be sent. */
export interface OutboxMessage {
  readonly kind: OutboxKind
  /** The same id twice is one message, also when the first one has been sent within the last day. Default: a new one. */
  readonly id?: string
  /** Plain JSON, at most `maxOutboxBytes` as text. Kept under the seal of the installation: it may hold links that log somebody in. */
  readonly body: unknown
  /** No try after that, in milliseconds since the epoch. Default: in three days. */
  readonly expires?: number
}

/** A message that its receiver is to send now, and nobody else for the next two minutes. */
export interface DueMessage {
  readonly id: string
  readonly kind: OutboxKind
  readonly body: unknown
  /** How many tries have failed before. */
  readonly attempts: number
  readonly expires: number
}

/** A message that could not be sent until its end. Its body is not shown. */
export interface DeadMessage {
  readonly id: string
  readonly kind: OutboxKind
  readonly attempts: number
  /** Why the last try failed. */
  readonly why: string
}

export interface OutboxCensus {
  readonly waiting: number
  readonly dead: number
}

/** Messages that wait in the catalog until they are sent, by whichever instance: each at least once. */
export interface Outbox {
  /** Resolves when the message is kept. Throws `too-large`, `invalid` for what is no JSON, `unavailable`. */
  put(message: OutboxMessage): Promise<void>
  /** Takes over at most `limit` messages whose time has come, those that wait longest first. */
  due(limit: number): Promise<readonly DueMessage[]>
  /** Whether `due` would find a message. */
  hasDue(): Promise<boolean>
  /** It is sent. */
  done(id: string): Promise<void>
  /**
   * It could not be sent: there is another try after a while (5 s, doubled up to an hour, some jitter; at least
   * `retryAfterSeconds`), unless that would be too late or `permanent`. Then it is dead: kept for a week, and `onDead` is told.
   */
  failed(id: string, why: string, options?: FailedOptions): Promise<void>
  census(): Promise<OutboxCensus>
  /** Told in this process after each `put`, so that sending begins at once. Returns what ends that. */
  onPut(listener: () => void): () => void
}

export interface FailedOptions {
  /** No further try will be any better. */
  readonly permanent?: boolean
  readonly retryAfterSeconds?: number
}

export interface OutboxOptions {
  readonly catalog: Catalog
  /** That of the catalog. */
  readonly clock: Clock
  /** Of the installation: bodies are sealed by it. */
  readonly secret: Uint8Array
  /** Told once of each message that could not be sent. */
  readonly onDead?: (message: DeadMessage) => void
  /** Numbers from 0 to 1 for the jitter. */
  readonly random?: () => number
}

/** Most bytes of a body as JSON. With its seal it fits into any catalog. */
export const maxOutboxBytes = 190 * 1024
/** How long a message that `due` gave belongs to who got it. */
export const outboxLeaseMilliseconds = 120_000

const group = 'outbox'
const bodyGroup = 'outbox-bodies'
const dayMilliseconds = 24 * 3600 * 1000
const defaultLifeMilliseconds = 3 * dayMilliseconds
const deadMilliseconds = 7 * dayMilliseconds
const sentMilliseconds = dayMilliseconds
const firstPauseMilliseconds = 5000
const longestPauseMilliseconds = 3600_000
const longestWhy = 500
const maxIdCharacters = 500

interface Kept {
  readonly id: string
  readonly kind: OutboxKind
  readonly state: 'waiting' | 'sent' | 'dead'
  /** When there is to be a try. */
  readonly due: number
  readonly attempts: number
  readonly expires: number
  readonly why?: string
}

interface Found {
  readonly name: string
  readonly version: string
  readonly kept: Kept
}

/**
 * The outbox of a catalog: a small record for each message, which is looked through for those that are due, and its sealed
 * body beside it.
 */
export function catalogOutbox(options: OutboxOptions): Outbox {
  const { catalog, clock, secret, onDead, random = Math.random } = options
  const seal = createSeal(secret, 'outbox')
  const listeners = new Set<() => void>()

  async function put({ kind, id = randomUUID(), body, expires }: OutboxMessage): Promise<void> {
    if (id === '' || id.length > maxIdCharacters || !id.isWellFormed())
      throw new Failure('invalid', `The id of a message has 1 to ${maxIdCharacters} characters.`)
    const text = textOf(body)
    const name = nameOf(id)
    const now = clock.now()
    const ends = expires ?? now + defaultLifeMilliseconds
    if ((await catalog.get(group, name)) !== undefined) return
    // The record makes it a message: whoever finds one finds its body.
    const kept = Buffer.from(seal.close(text, name), 'base64')
    await catalog.swap(bodyGroup, name, kept, 'any', new Date(ends + deadMilliseconds + dayMilliseconds))
    await catalog.swap(
      group,
      name,
      encode({ id, kind, state: 'waiting', due: now, attempts: 0, expires: ends }),
      undefined,
      new Date(ends + deadMilliseconds),
    )
    for (const listener of listeners) listener()
  }

  async function* records(): AsyncIterable<Found> {
    for await (const items of catalog.list(group))
      for (const item of items) yield { name: item.name, version: item.version, kept: decode(item) }
  }

  async function due(limit: number): Promise<readonly DueMessage[]> {
    const now = clock.now()
    const ready: Found[] = []
    for await (const found of records()) if (isDue(found.kept, now)) ready.push(found)
    ready.sort((one, other) => one.kept.due - other.kept.due)
    const taken: DueMessage[] = []
    for (const { name, version, kept } of ready) {
      if (taken.length >= limit) break
      if (kept.expires <= now) {
        await bury(name, version, kept, kept.why ?? 'its time was over before it could be sent')
        continue
      }
      const leased = { ...kept, due: now + outboxLeaseMilliseconds }
      if ((await write(name, leased, version, kept.expires + deadMilliseconds)) === false) continue
      const message = await opened(name, kept)
      if (message !== undefined) taken.push(message)
    }
    return taken
  }

  /** Undefined, and dead, for one that cannot be read any more: under another secret, say. */
  async function opened(name: string, kept: Kept): Promise<DueMessage | undefined> {
    const { id, kind, attempts, expires } = kept
    const item = await catalog.get(bodyGroup, name)
    try {
      if (item === undefined) throw new Failure('unavailable', 'its body is gone')
      const text = seal.open(Buffer.from(item.value).toString('base64'), name)
      return { id, kind, body: JSON.parse(text) as unknown, attempts, expires }
    } catch (error) {
      await failed(id, error instanceof Error ? error.message : String(error), { permanent: true })
      return undefined
    }
  }

  async function done(id: string): Promise<void> {
    const name = nameOf(id)
    for (;;) {
      const item = await catalog.get(group, name)
      if (item === undefined) break
      const kept = decode(item)
      if (kept.state === 'sent') break
      const sent: Kept = { ...kept, state: 'sent' }
      if ((await write(name, sent, item.version, clock.now() + sentMilliseconds)) !== false) break
    }
    await catalog.swap(bodyGroup, name, undefined, 'any')
  }

  async function failed(
    id: string,
    why: string,
    { permanent, retryAfterSeconds = 0 }: FailedOptions = {},
  ): Promise<void> {
    const name = nameOf(id)
    for (;;) {
      const item = await catalog.get(group, name)
      if (item === undefined) return
      const kept = decode(item)
      if (kept.state !== 'waiting') return
      const attempts = kept.attempts + 1
      const next = clock.now() + Math.max(pauseAfter(attempts), retryAfterSeconds * 1000)
      const tried: Kept = { ...kept, attempts, due: next, why: why.slice(0, longestWhy) }
      if (permanent === true || next >= kept.expires) {
        if (await bury(name, item.version, tried, tried.why ?? '')) return
      } else if ((await write(name, tried, item.version, kept.expires + deadMilliseconds)) !== false) return
    }
  }

  /** Half of it is left to chance, so that what failed together does not come again together. */
  function pauseAfter(attempts: number): number {
    const pause = Math.min(firstPauseMilliseconds * 2 ** Math.min(attempts - 1, 20), longestPauseMilliseconds)
    return Math.round(pause * (0.5 + random() / 2))
  }

  async function bury(name: string, version: string, kept: Kept, why: string): Promise<boolean> {
    const dead: Kept = { ...kept, state: 'dead', why }
    if ((await write(name, dead, version, clock.now() + deadMilliseconds)) === false) return false
    onDead?.({ id: kept.id, kind: kept.kind, attempts: kept.attempts, why })
    return true
  }

  function write(name: string, kept: Kept, version: string, until: number): Promise<string | false> {
    return catalog.swap(group, name, encode(kept), version, new Date(until))
  }

  return {
    put,
    due,
    async hasDue() {
      for await (const { kept } of records()) if (isDue(kept, clock.now())) return true
      return false
    },
    done,
    failed,
    async census() {
      const counts = { waiting: 0, dead: 0, sent: 0 }
      for await (const { kept } of records()) counts[kept.state] += 1
      return { waiting: counts.waiting, dead: counts.dead }
    },
    onPut(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
}

function isDue({ state, due }: Kept, now: number): boolean {
  return state === 'waiting' && due <= now
}

/** Ids may hold what a catalog cannot, and anything else that is nobody's business. */
function nameOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

function textOf(body: unknown): string {
  const text = JSON.stringify(body) as string | undefined
  if (text === undefined) throw new Failure('invalid', 'The body of a message is not JSON.')
  if (Buffer.byteLength(text) > maxOutboxBytes)
    throw new Failure('too-large', `A message has at most ${maxOutboxBytes} bytes.`, { size: maxOutboxBytes })
  return text
}

function encode(kept: Kept): Uint8Array {
  return Buffer.from(JSON.stringify(kept))
}

/** Reads what `encode` wrote. */
function decode({ value }: Item): Kept {
  return JSON.parse(Buffer.from(value).toString()) as Kept
}

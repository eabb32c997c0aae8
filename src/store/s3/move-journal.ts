import { randomUUID } from 'node:crypto'
import { Failure, isFailure } from '../../core/failure.js'
import { isWithin, type StorePath, toPath } from '../../core/path.js'
import type { S3Context } from './context.js'
import { objectsBelow } from './many-keys.js'
import { removeCopied, rollBack } from './tree-keys.js'

/** All entries lie below this, in a name that the store shows to nobody. */
export const movesPrefix = '.postern-moves/'
/** Written to learn what time it is there. */
const clockKey = movesPrefix + 'now'

/** For so long after its last sign nobody takes a move for dead; whoever makes it gives a sign again and again. */
const aliveMilliseconds = 30_000
const signMilliseconds = 8000

/** What is written down of a move. Times are those of the service. */
interface Entry {
  readonly from: StorePath
  readonly to: StorePath
  /** The target was claimed then, by a directory without members. */
  readonly begun: number
  /** All that was there at the source is at the target: the move will be finished, not undone. */
  readonly copied: boolean
  /** Who makes it gives it up. */
  readonly over: boolean
  /** Who undoes it: nothing later than this was made by the move. */
  readonly ended?: number
  /** Makes each version another one. */
  readonly sign: string
}

interface SeenEntry {
  readonly key: string
  readonly etag: string
  readonly modified: number
  readonly entry: Entry
}

/** A move that is written down in the bucket, so that it can be finished or undone wherever it is interrupted. */
export interface NotedMove {
  /** Aborts once another has taken it over. */
  readonly lost: AbortSignal
  /** From here on it will be finished. Throws `unavailable` where another has taken it over. */
  copied(): Promise<void>
  /** It is finished, or undone: nothing is to be done any more. */
  forget(): Promise<void>
  /** Somebody else may finish or undo it at once. Never throws. */
  giveUp(): Promise<void>
}

/**
 * Writes down a move to a target that was claimed at that time. Throws `unavailable` where another move touches either end.
 */
export async function noteMove(context: S3Context, from: StorePath, to: StorePath, begun: number): Promise<NotedMove> {
  const key = movesPrefix + randomUUID()
  const note = new Note(context, key, { from, to, begun, copied: false, over: false, sign: '' })
  await note.write({})
  try {
    // Of two that begin at the same time at least one sees the other.
    for await (const other of entries(context))
      if (other.key !== key && touches(other.entry, [from, to])) throw underWay()
  } catch (error) {
    await note.forget().catch(() => undefined)
    throw error
  }
  note.keepAlive()
  return note
}

/**
 * For whoever is about to change a whole tree. Where an interrupted move has been there, that is finished or undone first
 * and `unavailable` thrown, for everything looks different by now; also where one is under way.
 */
export async function settleBelow(context: S3Context, ...paths: readonly StorePath[]): Promise<void> {
  let settled = 0
  for await (const seen of entries(context)) {
    if (!touches(seen.entry, paths)) continue
    if (!(await finish(context, seen, await timeThere(context)))) throw underWay()
    settled++
  }
  if (settled > 0)
    throw new Failure('unavailable', 'An interrupted move has just been put in order. Look again.', {
      retryAfterSeconds: 1,
    })
}

/**
 * Finishes or undoes all moves that nobody makes any more: who has given no sign for so many milliseconds is dead. Gives
 * their number. Of several who try, one does each.
 */
export async function finishMoves(context: S3Context, silence: number = aliveMilliseconds): Promise<number> {
  let finished = 0
  let now: number | undefined
  for await (const seen of entries(context)) {
    now ??= await timeThere(context)
    if (await finish(context, seen, now, silence)) finished++
  }
  return finished
}

/** False where somebody else makes it, or begins to finish it. */
async function finish(
  context: S3Context,
  { key, etag, modified, entry }: SeenEntry,
  now: number,
  silence: number = aliveMilliseconds,
): Promise<boolean> {
  if (!entry.over && modified + silence > now) return false
  const { from, to, begun, copied } = entry
  const ended = entry.ended ?? (entry.over ? modified : modified + aliveMilliseconds)
  const note = new Note(context, key, { ...entry, over: false, ended }, etag)
  try {
    await note.write({})
  } catch (error) {
    if (note.lost.aborted) return false
    throw error
  }
  note.keepAlive()
  try {
    if (copied) await removeCopied(context, from, to, note.lost)
    else await rollBack(context, from, to, { begun, ended }, note.lost)
    await note.forget()
    return true
  } catch (error) {
    await note.giveUp()
    throw error
  }
}

class Note implements NotedMove {
  readonly #context: S3Context
  readonly #key: string
  readonly #lost = new AbortController()
  #entry: Entry
  #etag: string | undefined
  #timer: NodeJS.Timeout | undefined
  /** One version after another. */
  #last: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(context: S3Context, key: string, entry: Entry, etag?: string) {
    this.#context = context
    this.#key = key
    this.#entry = entry
    this.#etag = etag
  }

  get lost(): AbortSignal {
    return this.#lost.signal
  }

  /** Writes the next version, only while the last one is there. Throws `unavailable` where it is not. */
  async write(change: Partial<Entry>): Promise<void> {
    const next = this.#last.then(async () => {
      if (this.#isClosed) return
      this.#entry = { ...this.#entry, ...change, sign: randomUUID() }
      try {
        this.#etag = await this.#put(Buffer.from(JSON.stringify(this.#entry)))
      } catch (error) {
        if (!isFailure(error, 'precondition')) throw error
        this.#lost.abort(underWay())
        throw underWay()
      }
    })
    this.#last = next.catch(() => undefined)
    await next
  }

  async #put(bytes: Uint8Array): Promise<string> {
    const { service, turns } = this.#context
    const etag = this.#etag
    const headers = { 'content-type': 'application/json' }
    if (service.abilities.conditionalPut) {
      const condition = etag === undefined ? ({ absent: true } as const) : { etag }
      return (await service.put(this.#key, [bytes], { headers, condition })).etag
    }
    return await turns.inTurn(this.#key, async (turn) => {
      if ((await service.head(this.#key, turn))?.etag !== etag)
        throw new Failure('precondition', 'It is another by now.')
      return (await service.put(this.#key, [bytes], { headers, signal: turn })).etag
    })
  }

  /** Gives signs of life from now on. */
  keepAlive(): void {
    this.#timer = setInterval(() => {
      this.write({}).catch(() => undefined)
    }, signMilliseconds).unref()
  }

  async copied(): Promise<void> {
    await this.write({ copied: true })
  }

  async forget(): Promise<void> {
    await this.#close()
    await this.#context.service.remove(this.#key)
  }

  async giveUp(): Promise<void> {
    await this.write({ over: true }).catch(() => undefined)
    await this.#close()
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#last
    this.#isClosed = true
  }
}

async function* entries(context: S3Context): AsyncGenerator<SeenEntry, void> {
  const { service } = context
  for await (const page of objectsBelow(service, movesPrefix))
    for (const { key } of page) {
      if (key === clockKey) continue
      // Listings may be old.
      const facts = await service.head(key)
      if (facts === undefined) continue
      const { etag, modified } = facts
      const entry = await read(context, key, etag)
      if (entry !== undefined) yield { key, etag, modified, entry }
    }
}

/** Undefined for what is no entry, or is another by now: whoever makes it is alive then, and nothing may be known of it. */
async function read({ service }: S3Context, key: string, etag: string): Promise<Entry | undefined> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of (await service.get(key, { ifMatch: etag })).bytes) chunks.push(chunk)
  } catch (error) {
    if (isFailure(error, 'not-found')) return undefined
    throw isFailure(error, 'precondition') ? underWay() : error
  }
  return decode(Buffer.concat(chunks).toString())
}

function decode(text: string): Entry | undefined {
  try {
    const { from, to, begun, copied, over, ended, sign } = JSON.parse(text) as Partial<Record<keyof Entry, unknown>>
    if (typeof from !== 'string' || typeof to !== 'string' || typeof begun !== 'number') return undefined
    return {
      from: toPath(from),
      to: toPath(to),
      begun,
      copied: copied === true,
      over: over === true,
      ...(typeof ended === 'number' && { ended }),
      sign: String(sign),
    }
  } catch {
    return undefined
  }
}

function touches({ from, to }: Entry, paths: readonly StorePath[]): boolean {
  return [from, to].some((end) => paths.some((path) => isWithin(end, path) || isWithin(path, end)))
}

/** What time it is at the service, whatever the clock here says. */
export async function timeThere({ service }: S3Context): Promise<number> {
  const { modified } = await service.put(clockKey, [])
  await service.remove(clockKey)
  return modified
}

function underWay(): Failure {
  return new Failure('unavailable', 'This directory is just being moved. Try again.', { retryAfterSeconds: 10 })
}

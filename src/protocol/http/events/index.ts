import { isDeepStrictEqual } from 'node:util'
import type { Identity } from '../../../auth/identity.js'
import { principalOf } from '../../../auth/identity.js'
import type { ChangeFeed, Fed } from '../../../catalog/changes.js'
import { Failure } from '../../../core/failure.js'
import { header } from '../../../core/http.js'
import type { HttpRequest, HttpResponse } from '../../../core/http.js'
import { rootPath, toPath } from '../../../core/path.js'
import type { ParsedTarget, StorePath } from '../../../core/path.js'
import type { CallerPage } from '../../admin/caller-pages.js'
import type { Session } from '../../protocol.js'
import { preferredType } from '../accept.js'
import { eventOf } from './event.js'
import type { LiveEvent } from './event.js'
import { eventStream } from './event-stream.js'

export const eventsPath = '/-/events'

export interface EventsOptions {
  readonly feed: ChangeFeed
  /** As the gateway does; throws where the caller may not come in any more. */
  readonly authenticate: (request: HttpRequest) => Promise<Identity>
}

/** Streams of one caller at a time, in one process. */
const mostStreams = 64
const mostWaitSeconds = 25
const mostPolled = 1000

/**
 * What is done to the files, live: as a stream of server-sent events (HTML Living Standard §9.2), or for who prefers
 * JSON as `{ events, last }` of what came behind `since`, waited for `wait` seconds. Each caller is told what a listing would
 * show them. `below` names a directory; `Last-Event-ID` or `since` goes on where one was. Throws `method`, `invalid`, `throttled`.
 */
export function createEvents({ feed, authenticate }: EventsOptions): CallerPage {
  const open = new Map<string, number>()
  return async (request, target, session) => {
    if (target.path !== eventsPath) throw new Failure('not-found', 'There is no such page.')
    if (request.method !== 'GET' && request.method !== 'HEAD') throw new Failure('method', 'Only GET is answered here.')
    const wish = wishOf(request, target)
    if (request.method === 'HEAD') return answerOf(wish.isPoll ? 'application/json' : 'text/event-stream')
    const caller = principalOf(session.identity)
    const enter = (): (() => void) => {
      const running = open.get(caller) ?? 0
      open.set(caller, running + 1)
      return () => {
        const left = (open.get(caller) ?? 1) - 1
        if (left === 0) open.delete(caller)
        else open.set(caller, left)
      }
    }
    if ((open.get(caller) ?? 0) >= mostStreams)
      throw new Failure('throttled', `You follow ${mostStreams} streams already; close one.`, { retryAfterSeconds: 10 })
    const { since, below } = wish
    if (!wish.isPoll) {
      const isKnown = (): Promise<boolean> => isStill(session.identity, request, authenticate)
      const body = eventStream({ feed, since, below, session, isKnown, enter }, request.signal)
      return { ...answerOf('text/event-stream'), body }
    }
    const leave = enter()
    try {
      return { ...answerOf('application/json'), body: await poll({ feed, session, ...wish }, request.signal) }
    } finally {
      leave()
    }
  }
}

/** Whether the caller still is who they were, with the same rights. */
async function isStill(
  identity: Identity,
  request: HttpRequest,
  authenticate: EventsOptions['authenticate'],
): Promise<boolean> {
  try {
    return isDeepStrictEqual(await authenticate(request), identity)
  } catch {
    return false
  }
}

interface Wish {
  readonly since: string | undefined
  readonly below: StorePath
  readonly waitSeconds: number
  readonly isPoll: boolean
}

function wishOf(request: HttpRequest, { query: text }: ParsedTarget): Wish {
  const query = new URLSearchParams(text)
  for (const key of query.keys())
    if (!['since', 'below', 'wait'].includes(key)) throw new Failure('invalid', `There is no ${key} here: since, below, wait.`) // prettier-ignore
  const wait = query.get('wait') ?? '0'
  if (!/^\d{1,4}$/.test(wait)) throw new Failure('invalid', 'wait must be a number of seconds.')
  const type = preferredType(header(request, 'accept'), ['text/event-stream', 'application/json'])
  return {
    since: header(request, 'last-event-id') ?? query.get('since') ?? undefined,
    below: query.has('below') ? toPath(query.get('below') ?? '') : rootPath,
    waitSeconds: Math.min(Number(wait), mostWaitSeconds),
    isPoll: type === 'application/json',
  }
}

function answerOf(type: string): HttpResponse {
  return {
    status: 200,
    headers: [
      ['Content-Type', `${type}${type.startsWith('text/') ? '; charset=utf-8' : ''}`],
      ['Cache-Control', 'no-store'],
      ['X-Content-Type-Options', 'nosniff'],
      // nginx would keep events back until it has a few thousand bytes.
      ['X-Accel-Buffering', 'no'],
    ],
  }
}

interface Polling {
  readonly feed: ChangeFeed
  readonly since: string | undefined
  readonly below: StorePath
  readonly waitSeconds: number
  readonly session: Session
}

/** What came behind `since`; waits for the first of it. */
async function poll({ feed, since, below, waitSeconds, session }: Polling, signal: AbortSignal): Promise<Uint8Array> {
  const events: LiveEvent[] = []
  let last = since ?? feed.here()
  // Even without a wait, what is there already is read.
  const until = AbortSignal.any([signal, AbortSignal.timeout(Math.max(waitSeconds * 1000, 50))])
  for await (const batch of feed.follow(since, until)) {
    last = batch.at(-1)?.id ?? last
    events.push(...(await eventsOf(batch, session, below)))
    if (events.length > 0) break
  }
  return Buffer.from(`${JSON.stringify({ events: events.slice(0, mostPolled), last: lastOf(events, last) })}\n`)
}

/** The rest comes the next time. */
function lastOf(events: readonly LiveEvent[], last: string | undefined): string | undefined {
  return events.length > mostPolled ? events[mostPolled - 1]?.id : last
}

async function eventsOf(batch: readonly Fed[], session: Session, below: StorePath): Promise<readonly LiveEvent[]> {
  const events: LiveEvent[] = []
  for (const fed of batch) {
    const event = await eventOf(fed, session, below)
    if (event !== undefined) events.push(event)
  }
  return events
}

import type { ChangeFeed, Fed } from '../../../catalog/changes.js'
import type { StorePath } from '../../../core/path.js'
import type { Session } from '../../protocol.js'
import { eventOf } from './event.js'

export interface Following {
  readonly feed: ChangeFeed
  readonly since: string | undefined
  readonly below: StorePath
  readonly session: Session
  /** Asked before anything is told: whether the caller still is who they were. */
  readonly isKnown: () => Promise<boolean>
  /** Called when it begins; what that gives is called when it ends. */
  readonly enter: () => () => void
}

const heartbeatMilliseconds = 15_000
/** What a browser waits for before it comes again. */
const retryMilliseconds = 2000

/**
 * Server-sent events: `ready` with the place to go on from, then `change` and `reset` with their ids, and a comment now
 * and again so that nobody on the way takes the connection for dead. Ends when the signal aborts, the feed is closed or
 * the caller is not known any more.
 */
export async function* eventStream(
  { feed, since, below, session, isKnown, enter }: Following,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void> {
  const leave = enter()
  const ended = new AbortController()
  const until = AbortSignal.any([signal, ended.signal])
  try {
    // Nothing falls between this place and the first change: following begins with the first question.
    const here = since ?? feed.here()
    const batches = feed.follow(since, until)[Symbol.asyncIterator]()
    let next = batches.next()
    next.catch(() => undefined)
    yield Buffer.from(`retry: ${retryMilliseconds}\nid: ${here.replace(/[^0-9a-z.]/g, '')}\nevent: ready\ndata: {}\n\n`)
    for (;;) {
      const found = await orHeartbeat(next)
      if (!(await isKnown())) return
      if (found === undefined) {
        yield Buffer.from(': still here\n\n')
        continue
      }
      if (found.done === true) return
      const text = await textOf(found.value, session, below)
      if (text !== '') yield Buffer.from(text)
      next = batches.next()
      next.catch(() => undefined)
    }
  } finally {
    ended.abort()
    leave()
  }
}

async function orHeartbeat<Result>(next: Promise<Result>): Promise<Result | undefined> {
  let timer: NodeJS.Timeout | undefined
  const heartbeat = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), heartbeatMilliseconds).unref()
  })
  try {
    return await Promise.race([next, heartbeat])
  } finally {
    clearTimeout(timer)
  }
}

async function textOf(batch: readonly Fed[], session: Session, below: StorePath): Promise<string> {
  let text = ''
  for (const fed of batch) {
    const event = await eventOf(fed, session, below)
    if (event === undefined) continue
    const { id, ...data } = event
    // JSON has no line breaks of its own.
    text += `id: ${id}\nevent: ${event.kind === 'reset' ? 'reset' : 'change'}\ndata: ${JSON.stringify(data)}\n\n`
  }
  return text
}

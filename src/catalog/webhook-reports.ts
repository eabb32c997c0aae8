import { randomUUID } from 'node:crypto'
import type { Change, Report } from '../core/events.js'
import { isWithin } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import type { Outbox } from './outbox.js'

/** Who is told of changes by a request of ours. */
export interface Webhook {
  readonly name: string
  /** What lies elsewhere is not told. */
  readonly below: StorePath
  /** Empty: all. */
  readonly kinds: readonly Change['kind'][]
}

/** What the outbox holds for a webhook. */
export interface WebhookBody {
  /** Of the webhook in the configuration. */
  readonly hook: string
  /** The same at each try. */
  readonly id: string
  readonly type: string
  readonly data: unknown
}

export interface WebhookReports {
  readonly report: Report
  /** Puts into the outbox what was reported so far, or gives it up and tells. */
  flush(): Promise<void>
}

export interface WebhookReportsOptions {
  readonly hooks: readonly Webhook[]
  readonly outbox: Pick<Outbox, 'put'>
  /** `lost` changes will not be told. */
  readonly onLost: (error: unknown, lost: number) => void
}

const collectMilliseconds = 250
/** In one message. */
const mostChanges = 200
const mostWaiting = 20_000

/** Collects what is done to the files, and puts it into the outbox for each webhook that is told of it. */
export function createWebhookReports({ hooks, outbox, onLost }: WebhookReportsOptions): WebhookReports {
  let waiting: Change[] = []
  let collecting: Promise<void> | undefined
  let timer: NodeJS.Timeout | undefined
  let go: () => void = () => undefined

  async function collect(): Promise<void> {
    while (waiting.length > 0) {
      await new Promise<void>((resolve) => {
        go = resolve
        timer = setTimeout(resolve, collectMilliseconds).unref()
      })
      clearTimeout(timer)
      const taken = waiting
      waiting = []
      await put(taken)
    }
    collecting = undefined
  }

  async function put(changes: readonly Change[]): Promise<void> {
    for (const hook of hooks) {
      const told = changes.filter((change) => concerns(change, hook))
      for (let at = 0; at < told.length; at += mostChanges) {
        const some = told.slice(at, at + mostChanges)
        const body: WebhookBody = {
          hook: hook.name,
          id: `msg_${randomUUID()}`,
          type: 'files.changed',
          data: { changes: some.map((change) => ({ ...change, at: new Date(change.at).toISOString() })) },
        }
        try {
          await outbox.put({ kind: 'webhook', id: body.id, body })
        } catch (error) {
          onLost(error, some.length)
        }
      }
    }
  }

  return {
    report(change) {
      if (!hooks.some((hook) => concerns(change, hook))) return
      if (waiting.length >= mostWaiting) {
        onLost(undefined, waiting.length)
        waiting = []
      }
      waiting.push(change)
      collecting ??= collect()
    },
    async flush() {
      go()
      await collecting
    },
  }
}

function concerns({ kind, path, from }: Change, { below, kinds }: Webhook): boolean {
  if (kinds.length > 0 && !kinds.includes(kind)) return false
  return isWithin(path, below) || (from !== undefined && isWithin(from, below))
}

import { connectTo } from '../wire/one-time.js'
import { openLink } from '../wire/link.js'
import type { Table } from '../wire/link.js'
import { Failure } from '../../core/failure.js'
import { hasOnly, message, readNothing, strictTable } from './heads.js'
import type { WorkerFacts } from './workers.js'

export interface ControlOptions {
  readonly list: () => readonly WorkerFacts[]
  /** Ends all of a user, and voids what was handed out for them. Resolves to how many processes there were. */
  readonly close: (user: string) => Promise<number>
  readonly onBroken: (why: string) => void
}

/** What root's commands may ask of a broker. */
export function controlTable({ list, close, onBroken }: ControlOptions): Table {
  return strictTable(
    {
      sessions: message(64, readNothing, () => ({ sessions: list() })),
      close: message(
        8192,
        ({ user, ...rest }) => (hasOnly(rest) && typeof user === 'string' ? user : undefined),
        async (user) => ({ closed: await close(user) }),
      ),
    },
    onBroken,
  )
}

/** A running broker, asked by a command of root. */
export interface Control {
  sessions(): Promise<readonly WorkerFacts[]>
  close(user: string): Promise<number>
  end(): void
}

const maxAnswerBytes = 16 * 1024 * 1024
const patience = { timeoutMilliseconds: 10_000 }

/** Connects to the broker that listens at `path`. Rejects with `unavailable` where none does. */
export async function openControl(path: string): Promise<Control> {
  const link = openLink(await connectTo(path), { table: {}, maxAnswerBytes, maxAtOnce: 1 })
  return {
    async sessions() {
      const { head } = await link.ask('sessions', {}, patience)
      if (!Array.isArray(head.sessions)) throw new Failure('unavailable', 'The server answers something else.')
      // Of root's own process.
      return head.sessions as readonly WorkerFacts[]
    },
    async close(user) {
      const { head } = await link.ask('close', { user }, patience)
      return Number(head.closed)
    },
    end: () => link.close(),
  }
}

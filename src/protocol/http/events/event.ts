import { principalOf } from '../../../auth/identity.js'
import type { Fed } from '../../../catalog/changes.js'
import type { StorePath } from '../../../core/path.js'
import type { Session } from '../../protocol.js'
import { visibleChange } from './visible.js'

/** A change as a caller is told of it. Who did it is not said, but whether it was they. */
export type LiveEvent = {
  /** For `Last-Event-ID`. */
  readonly id: string
} & (
  | { readonly kind: 'reset' }
  | {
      readonly kind: 'created' | 'changed' | 'removed' | 'moved'
      readonly path: string
      readonly from?: string
      readonly type?: 'file' | 'directory'
      readonly size?: number
      readonly etag?: string
      /** ISO 8601, UTC. */
      readonly at: string
      readonly mine: boolean
    }
)

/** Undefined where the caller is told nothing. */
export async function eventOf(fed: Fed, session: Session, below: StorePath): Promise<LiveEvent | undefined> {
  if ('reset' in fed) return { id: fed.id, kind: 'reset' }
  const change = await visibleChange(fed.change, session, below)
  if (change === undefined) return undefined
  const { by, at, ...facts } = change
  return { id: fed.id, ...facts, at: new Date(at).toISOString(), mine: by === principalOf(session.identity) }
}

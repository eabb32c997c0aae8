import type { FailureKind } from '../../core/failure.js'
import type { Setup } from '../../config/setup.js'
import type { Listening } from '../../transport/node-http.js'

/** What a primary tells its worker. */
export type Order =
  | { readonly kind: 'serve'; readonly number: number; readonly setup: Setup }
  /** All workers listen. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'apply'; readonly change: number; readonly setup: Setup }
  | { readonly kind: 'stop' }

/** What a worker tells its primary. */
export type Report =
  /** It waits for its first order. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'listening'; readonly listening: readonly Listening[] }
  | { readonly kind: 'applied'; readonly change: number; readonly listening: readonly Listening[] }
  /** It goes on by the setup before. */
  | { readonly kind: 'kept'; readonly change: number; readonly problem: Problem }
  /** It cannot start. */
  | { readonly kind: 'failed'; readonly problem: Problem }

/** A failure on its way between processes. */
export interface Problem {
  readonly message: string
  /** Absent for a fault that nobody meant. */
  readonly failure?: FailureKind
}

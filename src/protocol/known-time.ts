import type { Entry } from '../store/store.js'

/** Whether there is a time to show: not every store knows one of its directories, and says 0 then. */
export function isKnownTime({ kind, modified }: Pick<Entry, 'kind' | 'modified'>): boolean {
  return kind === 'file' || modified !== 0
}

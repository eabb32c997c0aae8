/**
 * One after another, for those who change the same key where the service itself cannot judge conditions. Whoever shares
 * the bucket must share the turns.
 */
export interface Turns {
  /** Does the work while nobody else does any under that name. Throws `unavailable` where no turn comes in time. */
  inTurn<Result>(name: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result>
}

/**
 * One after another, for those who change the same key where the service itself cannot judge conditions. Whoever shares
 * the bucket must share the turns.
 */
export interface Turns {
  /** Does the work while nobody else does any under that name. Throws `unavailable` where no turn comes in time. */
  inTurn<Result>(name: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result>
}

/** Turns among those who share this very object. */
export function localTurns(): Turns {
  const rows = new Map<string, Promise<unknown>>()
  const never = new AbortController().signal
  return {
    async inTurn(name, work) {
      const before = rows.get(name) ?? Promise.resolve()
      const mine = before.then(
        () => work(never),
        () => work(never),
      )
      rows.set(name, mine)
      try {
        return await mine
      } finally {
        if (rows.get(name) === mine) rows.delete(name)
      }
    },
  }
}

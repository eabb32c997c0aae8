let last = 0
let wishes = Math.floor(Math.random() * 1e6)

/** A time that a file is given when it is written. */
export interface Stamp {
  readonly seconds: number
  readonly nanoseconds: number
}

/**
 * A time of modification that no other write gets: of the real-time clock, at least a microsecond after the one before;
 * the nanoseconds below tell processes apart. A wished time (milliseconds since the epoch) keeps its milliseconds, and
 * what lies below them is counted on, microseconds first: without the addon no more can be set.
 */
export function uniqueStamp(wished?: number): Stamp {
  if (wished === undefined) {
    // The wall clock in whole milliseconds: performance.now() stands still while the machine sleeps.
    last = Math.max(Date.now() * 1000, last + 1)
    return { seconds: Math.floor(last / 1e6), nanoseconds: (last % 1e6) * 1000 + (process.pid % 1000) }
  }
  wishes++
  const milliseconds = Math.floor(wished)
  const seconds = Math.floor(milliseconds / 1000)
  const below = (wishes % 1000) * 1000 + ((Math.floor(wishes / 1000) + process.pid) % 1000)
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1e6 + below }
}

let last = 0

/** A time that a file is given when it is written. */
export interface Stamp {
  readonly seconds: number
  readonly nanoseconds: number
}

/**
 * A time of modification that no other write gets: of the real-time clock, at least a microsecond after the one before;
 * the nanoseconds below tell processes apart. A wished time (milliseconds since the epoch) keeps its milliseconds.
 */
export function uniqueStamp(wished?: number): Stamp {
  const now = Math.floor((performance.timeOrigin + performance.now()) * 1000)
  last = Math.max(now, last + 1)
  const process_ = process.pid % 1000
  if (wished === undefined) return { seconds: Math.floor(last / 1e6), nanoseconds: (last % 1e6) * 1000 + process_ }
  const milliseconds = Math.floor(wished)
  const seconds = Math.floor(milliseconds / 1000)
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1e6 + (last % 1000) * 1000 + process_ }
}

import { createHash, randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import type { Turns } from '../store/s3/turns.js'
import type { Catalog } from './catalog.js'

const group = 'turns'
/** A turn that nobody ends is over by itself; whoever works must be done, or have given up, before. */
const leaseMilliseconds = 60_000
const workMilliseconds = 45_000
/** How long anybody waits for a turn. */
const patienceMilliseconds = 30_000
const longestPauseMilliseconds = 200

/**
 * Turns among all who share a catalog: a record is held for as long as the work takes. In one process those who want the
 * same wait in a row before they ask the catalog. `place` says whose names these are, such as the bucket.
 */
export function catalogTurns(catalog: Catalog, clock: Clock, place: string): Turns {
  const rows = new Map<string, Promise<unknown>>()

  async function held<Result>(name: string, work: (signal: AbortSignal) => Promise<Result>): Promise<Result> {
    const version = await enter(name)
    try {
      return await work(AbortSignal.timeout(workMilliseconds))
    } finally {
      // Whoever came after the lease was over has a record of its own.
      await catalog.swap(group, name, undefined, version).catch(() => undefined)
    }
  }

  async function enter(name: string): Promise<string> {
    const end = performance.now() + patienceMilliseconds
    const holder = Buffer.from(randomUUID())
    for (let pause = 2; ; pause = Math.min(pause * 2, longestPauseMilliseconds)) {
      const expires = new Date(clock.now() + leaseMilliseconds)
      const version = await catalog.swap(group, name, holder, undefined, expires)
      if (version !== false) return version
      if (performance.now() > end)
        throw new Failure('unavailable', 'Another change of this file takes too long. Try again.', {
          retryAfterSeconds: 5,
        })
      await delay(pause / 2 + (Math.random() * pause) / 2)
    }
  }

  return {
    async inTurn(name, work) {
      const record = createHash('sha256').update(`${place}\0${name}`).digest('base64url')
      const before = rows.get(record) ?? Promise.resolve()
      const mine = before.then(
        () => held(record, work),
        () => held(record, work),
      )
      rows.set(record, mine)
      try {
        return await mine
      } finally {
        if (rows.get(record) === mine) rows.delete(record)
      }
    },
  }
}

import type { JobRunner } from './runner.js'

export interface ScheduleOptions {
  /** Before the first look, in milliseconds. */
  readonly first: number
  /** Told of what keeps jobs from being begun, once until they can be again. */
  readonly onTrouble: (error: unknown) => void
  /** Numbers from 0 to 1, by which instances that started together come apart. */
  readonly random?: () => number
}

export interface Schedule {
  /** No more jobs; resolves when those that run have ended. */
  close(): Promise<void>
}

const shortestPause = 1000
const longestPause = 60_000
const pauseAfterTrouble = 15_000

/** Begins the jobs of a runner when their time has come, for as long as it is open. Keeps no process alive. */
export function schedule(runner: JobRunner, { first, onTrouble, random = Math.random }: ScheduleOptions): Schedule {
  const closed = new AbortController()
  let isTroubled = false

  const trouble = (error: unknown): void => {
    if (!isTroubled && !closed.signal.aborted) onTrouble(error)
    isTroubled = true
  }

  async function look(): Promise<number> {
    try {
      const next = await runner.begin((answer) => void answer.catch(trouble))
      isTroubled = false
      return Math.min(Math.max(next, shortestPause), longestPause)
    } catch (error) {
      trouble(error)
      return pauseAfterTrouble
    }
  }

  let wake: () => void = () => undefined
  function wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds).unref()
      wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async function go(): Promise<void> {
    for (let pause = first; ; pause = await look()) {
      await wait(pause * (1 + random() / 10))
      if (closed.signal.aborted) return
    }
  }

  const going = go()
  return {
    async close() {
      closed.abort()
      wake()
      await runner.close()
      await going
    },
  }
}

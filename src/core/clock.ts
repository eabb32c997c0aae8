/** Where every time comes from, so that tests can hold it still. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
}

export const systemClock: Clock = { now: () => Date.now() }

/** A clock that stands still until it is told to go on: for tests of everything that expires. */
export class ManualClock implements Clock {
  #now: number

  constructor(startMilliseconds = Date.UTC(2030, 0, 1)) {
    this.#now = startMilliseconds
  }

  now(): number {
    return this.#now
  }

  advanceSeconds(seconds: number): void {
    this.#now += seconds * 1000
  }
}

/** Shorter work is followed by one turn of the event loop alone. */
const shortMilliseconds = 0.5
const longestRestMilliseconds = 100

/**
 * Does one thing after the other. Between two of them others get their turn, and after one that took long, for as long as that
 * took: whoever has more done than anybody could need keeps nobody waiting.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve()

  /** What `work` gives or throws, when all that was asked for before is done. */
  take<Result>(work: () => Promise<Result> | Result): Promise<Result> {
    let begun = 0
    const done = this.#last.then(() => {
      begun = performance.now()
      return work()
    })
    this.#last = done.catch(() => undefined).then(() => rest(performance.now() - begun))
    return done
  }
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    if (milliseconds < shortMilliseconds) setImmediate(resolve)
    else setTimeout(resolve, Math.min(milliseconds, longestRestMilliseconds))
  })
}

/** Work that is done now and again. */
export interface Recurring {
  /** No more of it; resolves when what is running has ended. */
  close(): Promise<void>
}

export interface Rhythm {
  /** Before the first time, in milliseconds. */
  readonly first: number
  /** Between the end of one time and the beginning of the next, in milliseconds. */
  readonly pause: number
  /** Told of what the work throws; it goes on all the same. */
  readonly onError: (error: unknown) => void
}

/** Does some work again and again, one at a time, as long as it is open. Keeps no process alive. */
export function every(work: () => Promise<void>, { first, pause, onError }: Rhythm): Recurring {
  let running: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout | undefined
  let closed = false
  const once = async (): Promise<void> => {
    try {
      await work()
    } catch (error) {
      onError(error)
    }
    wait(pause)
  }
  const wait = (milliseconds: number): void => {
    if (closed) return
    timer = setTimeout(() => {
      running = once()
    }, milliseconds).unref()
  }
  wait(first)
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await running
    },
  }
}

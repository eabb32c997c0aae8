import { duration, shownBytes } from '../copy/amounts.js'

/** A bar on standard error. */
export interface Bar {
  onBytes(count: number): void
  /** Bytes that there are to put. */
  grow(count: number): void
  /** Takes the bar away. */
  stop(): void
}

const drawMilliseconds = 200
const rateMilliseconds = 10_000

/** Draws until it is stopped. */
export async function drawBar(): Promise<Bar> {
  const { SingleBar } = await import('cli-progress')
  const bar = new SingleBar({
    format: '{bar} {percentage}%  {done}  {rate}  {left}',
    barsize: 24,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
  })
  let [bytes, total] = [0, 0]
  const moments: { readonly at: number; readonly bytes: number }[] = []
  const words = (): object => {
    const [first, last] = [moments[0], moments.at(-1)]
    const seconds = first && last ? (last.at - first.at) / 1000 : 0
    const rate = seconds > 0 && first && last ? Math.max(0, (last.bytes - first.bytes) / seconds) : 0
    return {
      done: `${shownBytes(bytes)} of ${shownBytes(Math.max(total, bytes))}`,
      rate: `${shownBytes(rate)}/s`,
      left: rate > 0 && total > bytes ? `${duration((total - bytes) / rate)} left` : '',
    }
  }
  bar.start(1, 0, words())
  const timer = setInterval(() => {
    const now = Date.now()
    moments.push({ at: now, bytes })
    while ((moments[0]?.at ?? now) < now - rateMilliseconds) moments.shift()
    bar.setTotal(Math.max(total, bytes, 1))
    bar.update(bytes, words())
  }, drawMilliseconds)
  return {
    onBytes: (count) => {
      bytes += count
    },
    grow: (count) => {
      total += count
    },
    stop: () => {
      clearInterval(timer)
      bar.stop()
    },
  }
}

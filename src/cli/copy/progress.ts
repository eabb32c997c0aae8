import type { SingleBar } from 'cli-progress'
import type { TreeEnd, Step } from '../../store/replicate.js'
import { duration, shownBytes } from './amounts.js'

/** What has been done so far, as it is drawn on a terminal. */
export interface Progress {
  onStep(step: Step): void
  onBytes(count: number): void
  /** Takes the bar away. */
  stop(): void
}

/** The rate is that of the last seconds. */
const rateMilliseconds = 10_000
const drawMilliseconds = 200

/** Draws a bar on standard error until it is stopped. What there is to do is counted meanwhile. */
export async function drawProgress(source: TreeEnd, signal: AbortSignal): Promise<Progress> {
  // A CommonJS package: what it exports is found by name only where it is bundled.
  const { SingleBar } = await import('cli-progress')
  const bar = new SingleBar({
    format: '{bar} {percentage}%  {done}  {files} files  {rate}  {left}',
    barsize: 24,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    gracefulExit: false,
  })
  return new Drawn(bar, source, signal)
}

class Drawn implements Progress {
  readonly #bar: SingleBar
  readonly #timer: NodeJS.Timeout
  readonly #counting = new AbortController()
  readonly #moments: { readonly at: number; readonly bytes: number }[] = []
  readonly #total = { files: 0, bytes: 0, isKnown: false }
  #files = 0
  /** Of files that were there already, and as they are read. */
  #bytes = 0
  #moved = 0

  constructor(bar: SingleBar, source: TreeEnd, signal: AbortSignal) {
    this.#bar = bar
    bar.start(1, 0, this.#words())
    this.#timer = setInterval(() => this.#draw(), drawMilliseconds)
    void this.#count(source, AbortSignal.any([signal, this.#counting.signal]))
  }

  onStep({ what, bytes, isDirectory }: Step): void {
    if (isDirectory) return
    if (what === 'same') this.#bytes += bytes
    if (what !== 'removed') this.#files += 1
  }

  onBytes(count: number): void {
    this.#bytes += count
    this.#moved += count
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#counting.abort()
    this.#bar.stop()
  }

  async #count({ store, path }: TreeEnd, signal: AbortSignal): Promise<void> {
    try {
      for await (const batch of store.list(path, { depth: 'infinity', signal }))
        for (const { kind, size } of batch) {
          if (kind === 'directory') continue
          this.#total.files += 1
          this.#total.bytes += size
        }
      this.#total.isKnown = true
    } catch {
      // The copy itself says what is wrong with the source; without a total there is only no time left to show.
    }
  }

  #draw(): void {
    const now = Date.now()
    this.#moments.push({ at: now, bytes: this.#moved })
    while ((this.#moments[0]?.at ?? now) < now - rateMilliseconds) this.#moments.shift()
    this.#bar.setTotal(Math.max(this.#total.bytes, this.#bytes, 1))
    this.#bar.update(this.#total.isKnown && this.#total.bytes === 0 ? 1 : this.#bytes, this.#words())
  }

  #words(): object {
    const { files, bytes, isKnown } = this.#total
    const [first, last] = [this.#moments[0], this.#moments.at(-1)]
    const seconds = first && last ? (last.at - first.at) / 1000 : 0
    const rate = seconds > 0 && first && last ? (last.bytes - first.bytes) / seconds : 0
    const more = isKnown ? '' : '+'
    return {
      done: `${shownBytes(this.#bytes)} of ${shownBytes(bytes)}${more}`,
      files: `${this.#files} of ${files}${more}`,
      rate: `${shownBytes(rate)}/s`,
      left: isKnown && rate > 0 ? `${duration((bytes - this.#bytes) / rate)} left` : '',
    }
  }
}

import type { Change } from '../core/events.js'
import type { Catalog } from './catalog.js'
import { maxValueBytes } from './catalog.js'
import { idOf, timeOf } from './change-id.js'
import type { ChangePlace } from './change-id.js'
import type { Fed } from './changes.js'

export const changesGroup = 'changes'

/** How far the clocks of instances may differ, and how long what one writes may take to be seen. */
const overlapMilliseconds = 3000
const most = maxValueBytes - 1024

/** In the order of time; never the same for two batches of a process that hold different changes. */
export function batchName(place: ChangePlace): string {
  return idOf(place)
}

/** Changes as values of the catalog, and how many there are in each and those before it. */
export function* batchesOf(changes: readonly Fed[]): Generator<{ readonly value: Uint8Array; readonly upTo: number }> {
  let lines: string[] = []
  let bytes = 0
  let upTo = 0
  for (const fed of changes) {
    const line = `${JSON.stringify(fed)}\n`
    const size = Buffer.byteLength(line)
    if (bytes + size > most && lines.length > 0) {
      yield { value: Buffer.from(lines.join('')), upTo }
      lines = []
      bytes = 0
    }
    lines.push(line)
    bytes += size
    upTo += 1
  }
  if (lines.length > 0) yield { value: Buffer.from(lines.join('')), upTo }
}

/** Reads batches as they come. */
export class BatchReader {
  readonly #catalog: Catalog
  /** Whose batches are left out. */
  readonly #except: string | undefined
  readonly #seen = new Set<string>()
  #from: number

  /** From what was written about `from` on, milliseconds since the epoch. */
  constructor(catalog: Catalog, from: number, except?: string) {
    this.#catalog = catalog
    this.#except = except
    this.#from = from
  }

  /** What was written since the last call, or since the beginning and somewhat before. */
  async next(): Promise<readonly Fed[]> {
    const found: Fed[] = []
    const after = timeOf(this.#from - overlapMilliseconds)
    for (const name of this.#seen) if (name < after) this.#seen.delete(name)
    for await (const items of this.#catalog.list(changesGroup, { after }))
      for (const { name, value } of items) {
        if (this.#seen.has(name)) continue
        this.#seen.add(name)
        const [time = '', stream] = name.split('.')
        this.#from = Math.max(this.#from, parseInt(time, 36))
        if (stream !== this.#except) found.push(...read(value))
      }
    return found
  }
}

/** What another version writes that this one cannot read is left out. */
function read(value: Uint8Array): readonly Fed[] {
  return Buffer.from(value)
    .toString('utf8')
    .split('\n')
    .flatMap((line): readonly Fed[] => {
      if (line === '') return []
      const fed = JSON.parse(line) as { readonly id: string; readonly reset?: true; readonly change?: Change }
      if (fed.reset === true) return [{ id: fed.id, reset: true }]
      return fed.change === undefined ? [] : [{ id: fed.id, change: fed.change }]
    })
}

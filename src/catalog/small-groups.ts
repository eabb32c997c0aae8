import type { Clock } from '../core/clock.js'

/** Larger groups are not kept whole. */
export const mostInSmallGroup = 16
/** How long a group that was found to be large is not looked at again. */
const largeForMilliseconds = 10_000

/**
 * Groups of which every item is known, so that what is not among them is known not to be there: most requests ask for
 * locks and properties that nobody has ever set.
 */
export class SmallGroups<Kept> {
  readonly #clock: Clock
  readonly #groups = new Map<string, Map<string, Kept>>()
  readonly #largeSince = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Whether it would be worth it to look through the group. */
  wants(group: string): boolean {
    if (this.#groups.has(group)) return false
    const since = this.#largeSince.get(group)
    return since === undefined || since + largeForMilliseconds <= this.#clock.now()
  }

  /** All items of a group, or that there are too many. */
  learn(group: string, items: ReadonlyMap<string, Kept> | undefined): void {
    if (items !== undefined && items.size <= mostInSmallGroup) this.#groups.set(group, new Map(items))
    else this.#isLarge(group)
  }

  /** All items, where they are known. */
  items(group: string): ReadonlyMap<string, Kept> | undefined {
    return this.#groups.get(group)
  }

  /** An item is written, or removed where it is undefined. */
  write(group: string, name: string, kept: Kept | undefined): void {
    const items = this.#groups.get(group)
    if (items === undefined) return
    if (kept === undefined) items.delete(name)
    else items.set(name, kept)
    if (items.size > mostInSmallGroup) this.#isLarge(group)
  }

  /** That a group was large is remembered. */
  forget(): void {
    this.#groups.clear()
  }

  #isLarge(group: string): void {
    this.#groups.delete(group)
    this.#largeSince.set(group, this.#clock.now())
  }
}

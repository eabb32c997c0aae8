import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.js'
import type { Catalog } from './catalog.js'

const group = 'source-changes'

/** Longer than anybody may remember a success. */
const keptSeconds = 86_400 + 3600

const none = 'unchanged'

/**
 * What Postern itself has changed among the accounts of an outside source, told to everybody who shares the catalog, so
 * that what was remembered of an account ends with its change and not with its time.
 */
export class SourceChanges {
  readonly #catalog: Catalog
  readonly #clock: Clock
  readonly #place: string

  /** `place` says what and where the source is, in the same way for everybody who uses it. */
  constructor(catalog: Catalog, clock: Clock, place: string) {
    this.#catalog = catalog
    this.#clock = clock
    this.#place = place
  }

  /** Differs after every change of the account; cheap. Throws `unavailable`. */
  async stampOf(account: string): Promise<string> {
    return (await this.#catalog.get(group, this.#key(account)))?.version ?? none
  }

  /** Whether a stamp is that of an account that has been changed of late. */
  isChange(stamp: string): boolean {
    return stamp !== none
  }

  /** To be called after the change; from then on no stamp of before holds. */
  async tell(account: string): Promise<void> {
    const expires = new Date(this.#clock.now() + keptSeconds * 1000)
    await this.#catalog.swap(group, this.#key(account), new Uint8Array(), 'any', expires)
  }

  #key(account: string): string {
    return createHash('sha256').update(`${this.#place}\0${account}`).digest('base64url')
  }
}

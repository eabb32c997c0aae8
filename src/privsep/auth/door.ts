import type { Asked, Answer, Table } from '../wire/link.js'
import { aboutPart } from './about.js'
import { anonymousPart } from './anonymous.js'
import { checkPart } from './check.js'
import type { Knowledge } from './knowledge.js'
import { linksPart } from './links.js'
import { pagesPart } from './pages.js'
import { signaturesPart } from './signatures.js'
import type { Tickets } from './tickets.js'

/** A few of the questions that a front may ask, answered by one configuration. */
export type DoorPart = (known: Knowledge, tickets: Tickets) => Table

/** All that a front may ask. */
const parts: readonly DoorPart[] = [aboutPart, anonymousPart, checkPart, signaturesPart, linksPart, pagesPart]

interface Generation {
  readonly known: Knowledge
  readonly table: Table
  running: number
}

/** What fronts may ask of the process that knows all callers, whatever its configuration is at the time. */
export class Door {
  /** The same for as long as the door is there. */
  readonly table: Table
  readonly #tickets: Tickets
  readonly #onFault: (error: unknown) => void
  #current: Generation

  /** `onFault` is told where what an old configuration had opened cannot be closed. */
  constructor(known: Knowledge, tickets: Tickets, onFault: (error: unknown) => void) {
    this.#tickets = tickets
    this.#onFault = onFault
    this.#current = this.#generationOf(known)
    this.table = Object.fromEntries(
      Object.entries(this.#current.table).map(([name, { maxBytes }]) => [
        name,
        { maxBytes, handle: (asked: Asked) => this.#handle(name, asked) },
      ]),
    )
  }

  /** Answers by another configuration from now on; the one before is closed when its last question is answered. */
  swap(known: Knowledge): void {
    const before = this.#current
    this.#current = this.#generationOf(known)
    this.#retire(before)
  }

  close(): Promise<void> {
    return this.#current.known.close()
  }

  async #handle(name: string, asked: Asked): Promise<Answer | undefined> {
    const generation = this.#current
    generation.running += 1
    try {
      return await generation.table[name]?.handle(asked)
    } finally {
      generation.running -= 1
      if (generation !== this.#current) this.#retire(generation)
    }
  }

  #retire({ running, known }: Generation): void {
    if (running === 0) known.close().catch(this.#onFault)
  }

  #generationOf(known: Knowledge): Generation {
    const tables = parts.map((part) => part(known, this.#tickets))
    return { known, running: 0, table: Object.assign({}, ...tables) as Table }
  }
}

import { Failure } from '../../core/failure.js'
import type { Known } from '../../store/local/facts.js'
import type { FilledPiece } from '../../store/local/write.js'
import type { LocalStore } from '../../store/local.js'
import type { ByteRange, Piece, Staged, WriteOptions, Written } from '../../store/store.js'
import { decodeDigestNames, encodeDigests } from '../digests.js'
import { encodeKnown } from '../known.js'
import type { Answer, Asked, Head, Table, TableEntry } from '../wire/link.js'
import { countIn, decodeWriteOptions, malformed, pathIn, textIn } from '../write-head.js'
import type { AskFront } from './notes.js'
import { Intake, type Run } from './write-intake.js'

/** Files that may be filled at a time, over one link. */
const mostAtOnce = 1024

const smallFrame = 64 * 1024
const writeFrame = 256 * 1024
const bytesFrame = 256 * 1024 + smallFrame
const manyPieces = 2 * 1024 * 1024

export interface WriterOptions {
  /** Opened with `WorkerNotes`, by the number of their mount. */
  readonly stores: readonly LocalStore[]
  readonly ask: AskFront
  /** Whether an open file can go along with an answer, and the other side will take it; none without. */
  readonly mayPass?: ((fd: number) => boolean) | undefined
}

/** All that is written in the name of a user, for the other side of one link. */
export class Writer {
  readonly #options: WriterOptions
  readonly #intakes = new Map<number, Intake>()
  /** What begins something. */
  readonly beginning: Table
  /** What goes on with something that has begun. */
  readonly goingOn: Table

  constructor(options: WriterOptions) {
    this.#options = options
    this.beginning = {
      'write-begin': this.#entry(writeFrame, (asked) => this.#write(asked)),
      'assemble-begin': this.#entry(manyPieces, (asked) => this.#assemble(asked)),
      'parts-begin': this.#entry(smallFrame, (asked) => this.#putPart(asked)),
      'parts-from': this.#entry(smallFrame, (asked) => this.#putPartFrom(asked)),
      'parts-become': this.#entry(manyPieces, (asked) => this.#become(asked)),
    }
    this.goingOn = {
      'write-open': this.#entry(smallFrame, ({ head }) => this.#open(this.#intake(head))),
      'write-append': this.#entry(bytesFrame, async ({ head, bytes }) => {
        await this.#intake(head).append(bytes)
        return {}
      }),
      'write-next': this.#entry(smallFrame, async ({ head }) => ({
        head: (await this.#intake(head).next(countIn(head, 'size'))) ?? {},
      })),
      'write-commit': this.#entry(bytesFrame, async ({ head, bytes }) => ({
        head: await this.#intake(head).commit(countIn(head, 'size'), bytes, head.asks === true),
      })),
      'write-abort': this.#entry(smallFrame, async ({ head }) => {
        await this.#intakes.get(countIn(head, 'op'))?.abort()
        return {}
      }),
    }
  }

  /** Gives up all that is not finished; resolves once nothing of it is left. */
  async close(): Promise<void> {
    await Promise.all([...this.#intakes.values()].map((intake) => intake.abort()))
  }

  /** Something is being written. */
  get isBusy(): boolean {
    return this.#intakes.size > 0
  }

  #entry(maxBytes: number, handle: (asked: Asked) => Promise<Answer> | Answer): TableEntry {
    return { maxBytes, handle: async (asked) => handle(asked) }
  }

  #store(head: Head): LocalStore {
    const store = this.#options.stores[countIn(head, 'mount')]
    if (store === undefined) throw malformed()
    return store
  }

  #intake(head: Head): Intake {
    const intake = this.#intakes.get(countIn(head, 'op'))
    if (intake === undefined) throw new Failure('conflict', 'This write is over.')
    return intake
  }

  /** Runs until bytes are awaited, or to the end where none are. */
  async #begin({ head, signal }: Asked, run: Run): Promise<Answer> {
    const op = countIn(head, 'op')
    if (this.#intakes.has(op)) throw malformed()
    if (this.#intakes.size >= mostAtOnce)
      throw new Failure('unavailable', 'Too many files are being written.', { retryAfterSeconds: 1 })
    const intake = new Intake(op, {
      run,
      asks: head.asks === true,
      beforeCommit: (number, staged) => this.#beforeCommit(number, staged),
    })
    this.#intakes.set(op, intake)
    void intake.over().then(() => this.#intakes.delete(op))
    const giveUp = (): void => void intake.abort()
    signal.addEventListener('abort', giveUp)
    try {
      return { head: (await intake.ready()) ?? { takesWhole: intake.takesWhole } }
    } finally {
      signal.removeEventListener('abort', giveUp)
    }
  }

  async #beforeCommit(op: number, staged: Staged & { readonly known?: Known }): Promise<void> {
    const { size, digests, known } = staged
    await this.#options.ask('before-commit', {
      op,
      size,
      digests: encodeDigests(digests),
      ...(known !== undefined && { known: encodeKnown(known) }),
    })
  }

  #write(asked: Asked): Promise<Answer> {
    const store = this.#store(asked.head)
    const path = pathIn(asked.head, 'path')
    const options = decodeWriteOptions(asked.head.options)
    return this.#begin(asked, async (intake) => {
      const { fill, signal, beforeCommit } = intake
      return writtenHead(intake, await store.fill(path, fill, { ...options, signal, beforeCommit }))
    })
  }

  #assemble(asked: Asked): Promise<Answer> {
    const { head } = asked
    const store = this.#store(head)
    const path = pathIn(head, 'path')
    const options = { ...decodeWriteOptions(head.options), ...digestsIn(head) }
    if (!Array.isArray(head.pieces)) throw malformed()
    const pieces = head.pieces.map(pieceOf)
    return this.#begin(asked, async (intake) => {
      const { fill, signal, beforeCommit } = intake
      const filled: readonly FilledPiece[] = pieces.map((piece) => piece ?? { fill })
      return writtenHead(intake, await store.assemble(path, filled, { ...options, signal, beforeCommit }))
    })
  }

  #putPart(asked: Asked): Promise<Answer> {
    const { head } = asked
    const { parts } = this.#store(head)
    const [room, number, options] = [textIn(head, 'room'), numberOf(head), lengthIn(head)]
    return this.#begin(asked, async ({ fill, signal, beforeCommit }) => {
      const { place, size } = await parts.fill(room, number, fill, { ...options, signal, beforeCommit })
      return { place, size }
    })
  }

  #putPartFrom(asked: Asked): Promise<Answer> {
    const { head } = asked
    const { parts } = this.#store(head)
    const [room, number, from, range] = [textIn(head, 'room'), numberOf(head), pathIn(head, 'from'), rangeIn(head)]
    const options = { ...lengthIn(head), ...digestsIn(head) }
    return this.#begin(asked, async ({ signal, beforeCommit }) => {
      const part = await parts.putFrom(room, number, from, range, { ...options, signal, beforeCommit })
      return { place: part.place, size: part.size, digests: encodeDigests(part.digests) }
    })
  }

  #become(asked: Asked): Promise<Answer> {
    const { head } = asked
    const { parts } = this.#store(head)
    const [room, path] = [textIn(head, 'room'), pathIn(head, 'path')]
    const options = { ...decodeWriteOptions(head.options), ...digestsIn(head) }
    if (!Array.isArray(head.parts)) throw malformed()
    const stored = head.parts.map((part: Head) => ({
      place: textIn(part, 'place'),
      size: Number(part.size),
      digests: {},
    }))
    return this.#begin(asked, async (intake) => {
      const { signal, beforeCommit } = intake
      return writtenHead(intake, await parts.become(room, path, stored, { ...options, signal, beforeCommit }))
    })
  }

  /** The file, where it can be given away, and where its next byte goes. */
  #open(intake: Intake): Answer {
    const { mayPass } = this.#options
    const opened = mayPass && intake.open(mayPass)
    return opened === undefined ? {} : { head: { at: opened.at }, descriptor: opened.fd, keeps: true }
  }
}

function writtenHead({ digests }: Intake, { entry, created }: Written): Head {
  const { known } = entry as Written['entry'] & { readonly known?: Known }
  return { created, ...(known !== undefined && { known: encodeKnown(known) }), digests: encodeDigests(digests) }
}

function digestsIn(head: Head): Pick<WriteOptions, 'digests'> {
  const digests = decodeDigestNames(head.digests)
  if (digests === undefined) throw malformed()
  return { digests }
}

function lengthIn(head: Head): Pick<WriteOptions, 'length'> {
  return head.length === undefined ? {} : { length: countIn(head, 'length') }
}

/** Whatever it is: the store knows which there are. */
function numberOf(head: Head): number {
  return typeof head.number === 'number' ? head.number : NaN
}

/** Undefined for one whose bytes are to come. */
function pieceOf(value: unknown): Piece | undefined {
  if (value === null) return undefined
  if (typeof value !== 'object') throw malformed()
  const head = value as Head
  return { from: pathIn(head, 'from'), range: rangeIn(head) }
}

/** The store knows which lie within a file. */
function rangeIn({ start, end }: Head): ByteRange {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) throw malformed()
  return { start: start as number, end: end as number }
}

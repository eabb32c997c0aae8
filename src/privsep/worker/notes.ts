import type { Answered, Head } from '../wire/link.js'
import type { Known } from '../../store/local/facts.js'
import { fewKeys, type NoteKeeping, type Noted, type Sieve, sieveOf } from '../../store/local/notes.js'
import type { Digests } from '../../store/store.js'
import { directoryKind } from '../../store/native.js'
import { encodeDigests } from '../digests.js'
import { encodeKnown } from '../known.js'

/** Asks the process on the network, which keeps the notes. */
export type AskFront = (name: string, head: Head) => Promise<Answered>

/** Files that are gone are told of so many at a time. */
const forgottenAtOnce = 200

interface Gone {
  readonly known: Known
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * The notes of a user's files, seen from the process of that user, which cannot read them: whoever is told of a file is
 * told by what its note can be found, and notes of one file become those of another without being seen here. Notes of
 * bytes that were written for somebody else are made by them.
 */
export class WorkerNotes implements NoteKeeping {
  readonly #ask: AskFront
  readonly #rootDevice: number
  #gone: Gone[] = []
  #isForgetting = false

  constructor(ask: AskFront, rootDevice: number) {
    this.#ask = ask
    this.#rootDevice = rootDevice
  }

  glance(known: Known): Noted {
    return { of: known }
  }

  async read(known: Known): Promise<Noted> {
    return this.glance(known)
  }

  async readMany(known: readonly Known[]): Promise<readonly Noted[]> {
    return known.map((one) => this.glance(one))
  }

  async sieve(): Promise<Sieve> {
    const { head } = await this.#ask('note-keys', { atMost: fewKeys })
    const { keys } = head
    return sieveOf(Array.isArray(keys) ? new Set(keys as readonly string[]) : undefined, this.#rootDevice)
  }

  async write(known: Known, { of, attributes }: Noted, settled: boolean): Promise<void> {
    if (of === undefined) return
    await this.#ask('note', {
      of: encodeKnown(this.#told(of)),
      known: encodeKnown(this.#told(known)),
      settled,
      ...(attributes !== undefined && { attributes }),
    })
  }

  async add(known: Known, digests: Digests): Promise<void> {
    await this.#ask('note-digests', { known: encodeKnown(this.#told(known)), digests: encodeDigests(digests) })
  }

  forget(known: Known): Promise<void> {
    if (known.kind !== directoryKind && known.links > 1) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#gone.push({ known: this.#told(known), resolve, reject })
      if (!this.#isForgetting) void this.#forgetAll()
    })
  }

  /** For entries: `known`, with the device of the root as 0. */
  readonly tells = (known: Known): { readonly known: Known } => ({ known: this.#told(known) })

  /** Never rejects. */
  async #forgetAll(): Promise<void> {
    this.#isForgetting = true
    // What goes in the same step goes together.
    await Promise.resolve()
    while (this.#gone.length > 0) {
      const batch = this.#gone.splice(0, forgottenAtOnce)
      try {
        await this.#ask('note-forget', { known: batch.map(({ known }) => encodeKnown(known)) })
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isForgetting = false
  }

  #told(known: Known): Known {
    return known.device === this.#rootDevice ? { ...known, device: 0 } : known
  }
}

import { Failure } from '../../core/failure.js'
import type { Known } from '../../store/local/facts.js'
import { fewKeys, isWorthNoting, NoteBook, type Noted, type Notes, shown } from '../../store/local/notes.js'
import { requireAttributes } from '../../store/local/write.js'
import { rootPath } from '../../core/path.js'
import type { Attributes, Digests, Entry } from '../../store/store.js'
import { decodeDigests } from '../digests.js'
import { decodeKnown } from '../known.js'
import type { Head, Table } from '../wire/link.js'
import { boundedNotes } from './notes-bounded.js'

/** The process of a user calls the device of a store's root 0. */
const rootDevice = 0

/** What the process of a user may ask about notes, and how long each question may be. */
export const noteFrames = {
  note: 256 * 1024,
  'note-digests': 4 * 1024,
  'note-forget': 64 * 1024,
  'note-keys': 1024,
} as const

const forgottenAtOnce = 50

/** An entry, and what its note can be found by. */
export interface KnownEntry {
  readonly entry: Entry
  readonly known: Known
}

/**
 * The notes of one user's files, kept here, where that user cannot reach them: their process only says which files they
 * are about. It could say so of any, and so spoil what is noted of its own user's files, but nothing else.
 */
export class RemoteNotes {
  readonly #notes: Notes
  readonly #book: NoteBook
  /** What the process of the user may ask. A question that is not as it should be is `invalid`. */
  readonly table: Table

  /** `notes` must be this user's alone. */
  constructor(notes: Notes) {
    this.#notes = boundedNotes(notes)
    this.#book = new NoteBook(this.#notes, rootDevice)
    this.table = {
      note: { maxBytes: noteFrames.note, handle: async ({ head }) => this.#note(head) },
      'note-digests': { maxBytes: noteFrames['note-digests'], handle: async ({ head }) => this.#noteDigests(head) },
      'note-forget': { maxBytes: noteFrames['note-forget'], handle: async ({ head }) => this.#noteForget(head) },
      'note-keys': { maxBytes: noteFrames['note-keys'], handle: async () => this.#noteKeys() },
    }
  }

  /** The entry, with what is noted of it; undefined where that cannot be told without waiting. */
  glance({ entry, known }: KnownEntry): Entry | undefined {
    const noted = this.#book.glance(known)
    return noted && this.with(entry, known, noted)
  }

  /** The entries, with what is noted of each. */
  async noted(entries: readonly KnownEntry[]): Promise<readonly Entry[]> {
    const noted = await this.#book.readMany(entries.map(({ known }) => known))
    return entries.map(({ entry, known }, index) => this.with(entry, known, noted[index] ?? {}))
  }

  /** The entry, with what is known to be noted. */
  with(entry: Entry, known: Known, noted: Noted): Entry {
    return isWorthNoting(noted) ? { ...entry, ...shown(this.#book, known, noted) } : entry
  }

  async read(known: Known): Promise<Noted> {
    return await this.#book.read(known)
  }

  /** Replaces what is noted of a file; throws `no-space` where the user has too many notes. */
  async write(known: Known, noted: Noted, settled: boolean): Promise<void> {
    await this.#book.write(known, noted, settled)
  }

  async forget(known: Known): Promise<void> {
    await this.#book.forget(known)
  }

  /** What is noted of one file, with other attributes where some are given, is noted of another, or of the same as it is now. */
  async #note({ of, known, settled, attributes }: Head): Promise<undefined> {
    const [from, to] = [required(decodeKnown(of)), required(decodeKnown(known))]
    const given = attributes === undefined ? undefined : required(attributesOf(attributes))
    const noted = await this.#book.read(from)
    const next = given === undefined ? noted : { ...noted, attributes: given }
    if (isWorthNoting(next)) await this.#book.write(to, next, settled === true)
    else if (isWorthNoting(noted)) await this.#book.forget(to)
  }

  async #noteDigests({ known, digests }: Head): Promise<undefined> {
    await this.#book.add(required(decodeKnown(known)), required<Digests>(decodeDigests(digests)))
  }

  async #noteForget({ known }: Head): Promise<undefined> {
    const all: readonly unknown[] = Array.isArray(known) ? known : []
    for (let at = 0; at < all.length; at += forgottenAtOnce) {
      const some = all.slice(at, at + forgottenAtOnce).map((one) => required(decodeKnown(one)))
      await Promise.all(some.map((one) => this.#book.forget(one)))
      // Others are served here too.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  async #noteKeys(): Promise<{ readonly head: Head }> {
    const keys = await this.#notes.keys?.(fewKeys)
    return { head: keys === undefined ? {} : { keys: [...keys] } }
  }
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Failure('invalid', 'That cannot be noted.')
  return value
}

const plainName = /^[\x21-\x7e]+$/
const lineBreak = /[\0\r\n]/

/** Undefined for what cannot be attributes. */
function attributesOf(value: unknown): Attributes | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  // They become headers.
  const isPlain = ([name, text]: readonly [string, unknown]): boolean =>
    plainName.test(name) && typeof text === 'string' && !lineBreak.test(text)
  if (!Object.entries(value).every(isPlain)) return undefined
  const attributes = value as Attributes
  requireAttributes(rootPath, attributes)
  return attributes
}

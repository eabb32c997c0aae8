import { type Known, millisecondsOf } from './facts.js'
import { directoryKind } from '../native.js'
import type { Attributes, DigestName, Digests } from '../store.js'

/** Where a store keeps what a plain file has no room for. Values are at most 64 KiB. */
export interface Notes {
  get(key: string): Promise<Uint8Array | undefined>
  /** The same where it can be told without waiting; undefined where it cannot. */
  glance?(key: string): { readonly value: Uint8Array | undefined } | undefined
  /** The same for several at once: undefined where that cannot be told of all of them. */
  glanceMany?(keys: readonly string[]): readonly (Uint8Array | undefined)[] | undefined
  put(key: string, value: Uint8Array): Promise<void>
  /** Puts what `next` makes of the present value, in one step. Without it others may come in between. */
  update?(key: string, next: (value: Uint8Array | undefined) => Uint8Array): Promise<void>
  /** Also where there is none. */
  forget(key: string): Promise<void>
  /** All keys there are; undefined where there are more. Without it each file is asked about. */
  keys?(atMost: number): Promise<ReadonlySet<string> | undefined>
  /** How many there are, or `atMost` where there are more. */
  count?(atMost: number): Promise<number>
}

/** As many keys are fetched at once sooner than files are asked about one by one. */
export const fewKeys = 1000

/** Of which files anything may be noted, as of one moment. */
export interface Sieve {
  /** Nothing is noted of any. */
  readonly isEmpty: boolean
  mayHold(known: Known): boolean
}

/** Notes that live as long as the process. */
export function memoryNotes(): Notes {
  const notes = new Map<string, Uint8Array>()
  return {
    get: async (key) => notes.get(key),
    put: async (key, value) => {
      notes.set(key, value)
    },
    update: async (key, next) => {
      notes.set(key, next(notes.get(key)))
    },
    forget: async (key) => {
      notes.delete(key)
    },
    keys: async (atMost) => (notes.size > atMost ? undefined : new Set(notes.keys())),
    count: async (atMost) => Math.min(notes.size, atMost),
  }
}

/** What a note can tell of a file. */
export interface Noted {
  readonly digests?: Digests
  readonly attributes?: Attributes
  /** What is noted elsewhere of the file that this tells of, as it was then: for `write`, which notes the same of another. */
  readonly of?: Known
}

/** Whoever keeps the notes of a store: `NoteBook`, or what passes them on to one in another process. */
export interface NoteKeeping {
  read(known: Known): Promise<Noted>
  /** The same of many, in one go where that can be. */
  readMany(known: readonly Known[]): Promise<readonly Noted[]>
  /** The same where it can be told without waiting; undefined where it cannot. */
  glance(known: Known): Noted | undefined
  /** For work on many files: spares most of them the question. */
  sieve(): Promise<Sieve>
  /** Replaces what is noted. `settled` is false as long as the file has still to be renamed. */
  write(known: Known, noted: Noted, settled: boolean): Promise<void>
  /** Adds digests of a file that has its name to what is noted of it. */
  add(known: Known, digests: Digests): Promise<void>
  /** When the last name of a file goes. */
  forget(known: Known): Promise<void>
  /** Where notes are kept elsewhere: what entries carry in their place, so that they can be looked up there. */
  readonly tells?: (known: Known) => { readonly known: Known }
}

/** The same object every time. */
export const nothingNoted: Noted = {}

interface Written {
  readonly size: number
  readonly modified: string
  /** Null where the note was made before the file had its name, which changes it once more. */
  readonly changed: string | null
  /** With a null above: when the file had last changed then. */
  readonly staged?: string
  readonly digests: Readonly<Record<string, string>>
  readonly attributes: Attributes
}

/** Longest time, in milliseconds, from a note about a staged file to its name, for which the note need not be made anew. */
const soonMilliseconds = 50

/**
 * Digests and attributes, kept by inode and time of birth, so that they follow a file when it is moved and go when it is
 * replaced. Digests hold for the noted size, time of modification and time of change only; attributes for size and time
 * of modification; those of a directory for as long as it lives. What is noted of a staged file holds as well for the
 * change that its name is, if that comes soon.
 */
export class NoteBook implements NoteKeeping {
  readonly #notes: Notes
  readonly #rootDevice: number

  constructor(notes: Notes, rootDevice: number) {
    this.#notes = notes
    this.#rootDevice = rootDevice
  }

  async read(known: Known): Promise<Noted> {
    return this.#meaning(known, await this.#notes.get(keyOf(known, this.#rootDevice)))
  }

  /** The same of many, in one go where that can be. */
  async readMany(known: readonly Known[]): Promise<readonly Noted[]> {
    const keys = known.map((one) => keyOf(one, this.#rootDevice))
    const values = this.#notes.glanceMany?.(keys) ?? (await Promise.all(keys.map((key) => this.#notes.get(key))))
    return known.map((one, index) => this.#meaning(one, values[index]))
  }

  /** The same where it can be told without waiting; undefined where it cannot. */
  glance(known: Known): Noted | undefined {
    const found = this.#notes.glance?.(keyOf(known, this.#rootDevice))
    return found && this.#meaning(known, found.value)
  }

  #meaning(known: Known, value: Uint8Array | undefined): Noted {
    const written = value === undefined ? undefined : parse(value)
    if (written === undefined) return nothingNoted
    if (known.kind !== directoryKind && (written.size !== known.size || written.modified !== known.modified))
      return nothingNoted
    const attributes = isEmpty(written.attributes) ? undefined : written.attributes
    const digests = isEmpty(written.digests) || !isUnchanged(written, known) ? undefined : bytesOf(written.digests)
    if (digests === undefined) return attributes === undefined ? {} : { attributes }
    return attributes === undefined ? { digests } : { digests, attributes }
  }

  /** For work on many files: spares most of them the question. */
  async sieve(): Promise<Sieve> {
    const keys = await this.#notes.keys?.(fewKeys)
    return sieveOf(keys, this.#rootDevice)
  }

  /** Replaces what is noted. `settled` is false as long as the file has still to be renamed. */
  async write(known: Known, noted: Noted, settled: boolean): Promise<void> {
    await this.#notes.put(keyOf(known, this.#rootDevice), encode(known, noted, settled))
  }

  /** Adds digests of a file that has its name to what is noted of it. */
  async add(known: Known, digests: Digests): Promise<void> {
    const key = keyOf(known, this.#rootDevice)
    const next = (value: Uint8Array | undefined): Uint8Array => {
      const noted = this.#meaning(known, value)
      return encode(known, { ...noted, digests: { ...noted.digests, ...digests } }, true)
    }
    if (this.#notes.update === undefined) await this.#notes.put(key, next(await this.#notes.get(key)))
    else await this.#notes.update(key, next)
  }

  /** When the last name of a file goes. To look first spares most files, of which nothing was ever noted, a write. */
  async forget(known: Known): Promise<void> {
    if (known.kind !== directoryKind && known.links > 1) return
    const key = keyOf(known, this.#rootDevice)
    if ((await this.#notes.get(key)) !== undefined) await this.#notes.forget(key)
  }
}

/** Device numbers change from start to start, so that of the root is left out. */
function keyOf(known: Known, rootDevice: number): string {
  return `${known.device === rootDevice ? '' : known.device}:${known.inode}:${known.born}`
}

/** Of all keys there are; undefined where nobody has counted them. */
export function sieveOf(keys: ReadonlySet<string> | undefined, rootDevice: number): Sieve {
  if (keys === undefined) return { isEmpty: false, mayHold: () => true }
  return { isEmpty: keys.size === 0, mayHold: (known) => keys.size > 0 && keys.has(keyOf(known, rootDevice)) }
}

/** Whether a note that was made of a staged file holds for what it is now that it has its name. */
export function isSoonAfter(staged: Known, named: Known): boolean {
  return isSoon(staged.changed, named.changed)
}

function isUnchanged({ changed, staged }: Written, known: Known): boolean {
  if (changed !== null) return changed === known.changed
  return staged !== undefined && isSoon(staged, known.changed)
}

function isSoon(before: string, after: string): boolean {
  const passed = millisecondsOf(after) - millisecondsOf(before)
  return passed >= 0 && passed <= soonMilliseconds
}

function encode(known: Known, { digests = {}, attributes = {} }: Noted, settled: boolean): Uint8Array {
  const written: Written = {
    size: known.size,
    modified: known.modified,
    ...(settled ? { changed: known.changed } : { changed: null, staged: known.changed }),
    digests: Object.fromEntries(
      Object.entries(digests).map(([name, bytes]) => [name, Buffer.from(bytes).toString('base64')]),
    ),
    attributes,
  }
  return Buffer.from(JSON.stringify(written))
}

/** Digests as they are noted, undone. */
function bytesOf(noted: Written['digests']): Digests {
  const digests: Partial<Record<DigestName, Uint8Array>> = {}
  for (const name in noted) digests[name as DigestName] = new Uint8Array(Buffer.from(noted[name] ?? '', 'base64'))
  return digests
}

/** Listings ask this of each of thousands. */
function isEmpty(record: object): boolean {
  for (const _ in record) return false
  return true
}

function parse(value: Uint8Array): Written | undefined {
  try {
    return JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString()) as Written
  } catch {
    return undefined
  }
}

/** Whether there is anything to note. */
export function isWorthNoting({ digests, attributes, of }: Noted): boolean {
  return of !== undefined || Object.keys(digests ?? {}).length > 0 || Object.keys(attributes ?? {}).length > 0
}

/** What the entry of a file tells of what is noted. */
export function shown({ tells }: NoteKeeping, known: Known, { digests, attributes }: Noted): object {
  if (tells !== undefined) return tells(known)
  return {
    ...(digests === undefined || Object.keys(digests).length === 0 ? {} : { digests }),
    ...(attributes === undefined || Object.keys(attributes).length === 0 ? {} : { attributes }),
  }
}

import type { Item } from '../catalog.js'
import { Failure } from '../../core/failure.js'

/** A value as DynamoDB writes it in JSON; bytes are base64, numbers are text. */
export type Attribute = { readonly S: string } | { readonly N: string } | { readonly B: string }

export type Attributes = Readonly<Record<string, Attribute>>

/** Where an item or a counter of the catalog lies. */
export interface Key extends Attributes {
  readonly pk: { readonly S: string }
  readonly sk: { readonly S: string }
}

/** One row of the table: an item has `value`, a counter has `tally`. */
export interface Row {
  readonly name: string
  readonly version: string
  /** Milliseconds since the epoch; Infinity for never. */
  readonly ends: number
  readonly value: Uint8Array | undefined
  readonly tally: number | undefined
}

/** The attribute by which DynamoDB tidies up (its TTL), in seconds; nothing else looks at it. */
export const timeToLive = 'exp'

/** Keys of a table may not be empty, and names may: each begins with a character that also tells items from counters. */
const groupMark = '='
const marks = { item: '=', counter: '+' } as const

/** Rows are left for an hour longer, so that a clock that goes wrong loses nothing that others still see. */
const tidyMilliseconds = 3_600_000

export function keyOf(group: string, name: string, what: keyof typeof marks = 'item'): Key {
  return { pk: { S: groupMark + group }, sk: { S: marks[what] + name } }
}

/** `ends` in milliseconds, by which Postern judges, and the time to live; nothing for what never ends. */
export function ending(expires: Date | undefined): { readonly ends: Attribute; readonly exp: Attribute } | undefined {
  if (expires === undefined) return undefined
  const milliseconds = expires.getTime()
  return { ends: numberOf(milliseconds), exp: numberOf(Math.ceil((milliseconds + tidyMilliseconds) / 1000)) }
}

export function numberOf(value: number): Attribute {
  return { N: String(value) }
}

export function bytesOf(value: Uint8Array): Attribute {
  return { B: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }
}

/** Reads what `Item` or one of `Items` holds. Throws `unavailable` for a row that is none of Postern's. */
export function rowOf(row: unknown): Row {
  const name = textOf(row, 'sk', 'S')?.slice(1)
  const version = textOf(row, 'ver', 'S')
  const ends = textOf(row, 'ends', 'N')
  const value = textOf(row, 'val', 'B')
  const tally = textOf(row, 'tally', 'N')
  if (name === undefined || version === undefined || (value === undefined) === (tally === undefined))
    throw new Failure('unavailable', "The catalog's table holds a row that Postern has not written.")
  return {
    name,
    version,
    ends: ends === undefined ? Infinity : Number(ends),
    value: value === undefined ? undefined : Uint8Array.from(Buffer.from(value, 'base64')),
    tally: tally === undefined ? undefined : Number(tally),
  }
}

/** The item of a row, if it has not ended by then. */
export function itemOf({ value, version, ends }: Row, now: number): Item | undefined {
  return value === undefined || ends <= now ? undefined : { value, version }
}

/** A member of an object of JSON; undefined for everything else. */
export function memberOf(json: unknown, name: string): unknown {
  return typeof json === 'object' && json !== null && Object.hasOwn(json, name)
    ? (json as Readonly<Record<string, unknown>>)[name]
    : undefined
}

/** The elements of a list of JSON; none for everything else. */
export function elementsOf(json: unknown): readonly unknown[] {
  return Array.isArray(json) ? (json as readonly unknown[]) : []
}

function textOf(row: unknown, attribute: string, type: 'S' | 'N' | 'B'): string | undefined {
  const text = memberOf(memberOf(row, attribute), type)
  return typeof text === 'string' ? text : undefined
}

import type { PartBuffers } from './part-buffers.js'
import type { KnownDirectories } from './known-directories.js'
import type { S3Service } from './service.js'
import type { Turns } from './turns.js'

/** What all parts of an S3 store share. */
export interface S3Context {
  readonly service: S3Service
  /** For services that judge no conditions; used then for every change of a key. */
  readonly turns: Turns
  /** Where files are put that need not look each time whether there is such a directory. */
  readonly directories: KnownDirectories
  /** The room in memory for bytes on their way. */
  readonly buffers: PartBuffers
  /** Lets something go on by itself; `close` waits for it. Its failures are of no consequence. */
  later(work: Promise<unknown>): void
  /** Aborts when the store closes. */
  readonly closing: AbortSignal
}

/** How often a change looks again where another one came between looking and changing. */
export const changeTries = 10

/** Requests that one operation has under way at once, where it has many to make. */
export const requestsAtOnce = 16

/**
 * Does the work that looks at a key and then changes it. Where the service judges conditions of every kind, at once; else
 * in turn with all other changes of that key.
 */
export async function changing<Result>(
  { service, turns }: S3Context,
  key: string,
  work: (signal: AbortSignal | undefined) => Promise<Result>,
): Promise<Result> {
  return judgesAll(service) ? await work(undefined) : await turns.inTurn(key, work)
}

/** Whether no change of a key needs a turn. */
export function judgesAll({ abilities }: S3Service): boolean {
  return (
    abilities.conditionalPut &&
    abilities.conditionalComplete &&
    abilities.conditionalCopy &&
    abilities.conditionalRemove
  )
}

import { close } from 'node:fs'
import type { Place } from '../beneath.js'
import { pathOnly } from '../beneath.js'
import type { Known } from './facts.js'
import { type DirectoryCalls, fileKind } from '../native.js'

/** To free more than this takes longer than to let another thread do it, in bytes. */
const bigFile = 4 * 1024 * 1024

/**
 * Runs what takes the last name from a file, and sees to it that the bytes of a big one are freed off the event loop: those
 * of a gigabyte keep a disk busy for a quarter of a second. The file is held meanwhile, and let go of by another thread.
 */
export function parting<T>(
  calls: DirectoryCalls,
  place: Pick<Place, 'directory' | 'name'>,
  known: Known | undefined,
  part: () => T,
): T {
  if (known === undefined || known.kind !== fileKind || known.size < bigFile || known.links > 1) return part()
  const held = calls.openAt(place.directory, place.name, pathOnly, 0)
  try {
    return part()
  } finally {
    if (held >= 0) close(held, () => undefined)
  }
}

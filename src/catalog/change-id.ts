/** Where a change stands: when it came, in which process, as the how manieth of that. */
export interface ChangePlace {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Of a process, from its start to its end. */
  readonly stream: string
  readonly count: number
}

/** Of `[0-9a-z.]`, in the order of time. */
export function idOf({ at, stream, count }: ChangePlace): string {
  return `${timeOf(at)}.${stream}.${count.toString(36)}`
}

/** Undefined for what `idOf` never gives. */
export function readId(id: string): ChangePlace | undefined {
  const [, at, stream, count] = /^([0-9a-z]{9})\.([0-9a-f]{10})\.([0-9a-z]{1,11})$/.exec(id) ?? []
  if (at === undefined || stream === undefined || count === undefined) return undefined
  return { at: parseInt(at, 36), stream, count: parseInt(count, 36) }
}

/** Nine digits last beyond the year 5000, so that texts are in the order of times. */
export function timeOf(at: number): string {
  return Math.max(0, Math.floor(at)).toString(36).padStart(9, '0')
}

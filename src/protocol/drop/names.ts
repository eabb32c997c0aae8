import { createHash, randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.js'

/** What a name can be made of. */
export interface NameFacts {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** 0 to 999. */
  readonly microseconds: number
  readonly sender: string
  /** As the sender calls the file. */
  readonly fileName?: string | undefined
}

export const defaultNamePattern = '{time}-{uuid}'

/** The parts that a pattern may have in braces. */
export const nameParts = ['time', 'date', 'uuid', 'token', 'name', 'extension'] as const

/**
 * What is wrong with a pattern of names; undefined where it is right. Each name must hold `{uuid}`: two drops are two
 * objects, whenever they come.
 */
export function namePatternProblem(pattern: string): string | undefined {
  const unknown = [...pattern.matchAll(/\{([^}]*)\}/g)].find(([, part]) => !nameParts.some((known) => known === part))
  if (unknown !== undefined)
    return `has ${unknown[0]}, which is none of ${nameParts.map((part) => `{${part}}`).join(', ')}`
  if (!pattern.includes('{uuid}')) return 'must have {uuid}, so that no two drops have one name'
  const segments = pattern.replaceAll(/\{[^}]*\}/g, 'x').split('/')
  const isPath = segments.every((segment) => /^[A-Za-z0-9_~!$'()+,;=:@&-][A-Za-z0-9._~!$'()+,;=:@ &-]*$/.test(segment))
  if (isPath && segments[0] !== '-') return undefined
  return 'must be a name, or names with a slash between them, of letters, digits and plain marks, none with a dot in front'
}

/** The name of a drop: segments with a slash between them. What the sender has a say in cannot leave its segment. */
export function nameOfDrop(pattern: string, facts: NameFacts): string {
  const time = new Date(facts.now).toISOString().slice(0, -1) + String(facts.microseconds).padStart(3, '0')
  const shown = safeName(facts.fileName ?? '')
  const values: Readonly<Record<(typeof nameParts)[number], () => string>> = {
    time: () => time,
    date: () => time.slice(0, 10),
    uuid: () => randomUUID(),
    token: () => safeName(facts.sender) || 'nobody',
    name: () => shown || 'unnamed',
    extension: () => extensionOf(shown),
  }
  return pattern.replaceAll(/\{(\w+)\}/g, (all, part: string) => (isPart(part) ? values[part]() : all))
}

/** Gives times that never come twice, and sort as they were given. */
export function createDropTimes(clock: Clock): () => Pick<NameFacts, 'now' | 'microseconds'> {
  let last = { now: 0, microseconds: 0 }
  return () => {
    const now = clock.now()
    last = { now, microseconds: now === last.now ? Math.min(last.microseconds + 1, 999) : 0 }
    return last
  }
}

/** The name of a drop with an `Idempotency-Key`: the same for the same key of the same sender, whenever it comes (RFC 9562 §5.8). */
export function nameOfKey(drop: string, sender: string, key: string): string {
  const bytes = createHash('sha256')
    .update(JSON.stringify([drop, sender, key]))
    .digest()
    .subarray(0, 16)
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6)
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8)
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

function isPart(text: string): text is (typeof nameParts)[number] {
  return nameParts.some((part) => part === text)
}

/** Letters, digits and `. _ -` of any script, no first dot, at most 80 bytes with the extension; empty where nothing is left. */
function safeName(text: string): string {
  const plain = text
    .toWellFormed()
    .normalize('NFC')
    .replace(/^.*[/\\]/s, '')
    .replaceAll(/[^\p{L}\p{M}\p{N}._-]+/gu, '_')
    .replace(/^[._]+|_+$/g, '')
  const extension = extensionOf(plain)
  const most = mostNameBytes - extension.length
  let stem = ''
  for (const character of plain.slice(0, plain.length - extension.length)) {
    if (Buffer.byteLength(stem + character) > most) break
    stem += character
  }
  return stem + extension
}

/** Beside time, token and UUID in one name, which may have 255. */
const mostNameBytes = 80

function extensionOf(name: string): string {
  return /.(\.[A-Za-z0-9]{1,10})$/.exec(name)?.[1] ?? ''
}

import { createHash, randomUUID } from 'node:crypto'

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
  const rest = pattern.replaceAll(/\{[^}]*\}/g, 'x')
  const isPath = rest
    .split('/')
    .every((segment) => /^[A-Za-z0-9._~!$'()+,;=:@ &-]+$/.test(segment) && !/^\.+$/.test(segment))
  return isPath ? undefined : 'must be a name, or names with a slash between them, of letters, digits and plain marks'
}

/** The name of a drop: segments with a slash between them. What the sender has a say in cannot leave its segment. */
export function nameOfDrop(pattern: string, facts: NameFacts): string {
  const time = new Date(facts.now).toISOString().slice(0, -1) + String(facts.microseconds).padStart(3, '0')
  const shown = safeName(facts.fileName ?? '')
  const dot = shown.lastIndexOf('.')
  const values: Readonly<Record<(typeof nameParts)[number], () => string>> = {
    time: () => time,
    date: () => time.slice(0, 10),
    uuid: () => randomUUID(),
    token: () => safeName(facts.sender) || 'nobody',
    name: () => shown || 'unnamed',
    extension: () => (dot > 0 ? shown.slice(dot) : ''),
  }
  return pattern.replaceAll(/\{(\w+)\}/g, (all, part: string) => (isPart(part) ? values[part]() : all))
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

/** Letters, digits and `. _ -` of any script, no first dot, at most 40 characters; empty where nothing is left. */
function safeName(text: string): string {
  const plain = text
    .toWellFormed()
    .normalize('NFC')
    .replace(/^.*[/\\]/s, '')
    .replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')
    .replace(/^[._]+|_+$/g, '')
  return Array.from(plain).length <= 40 ? plain : shortened(plain)
}

/** The beginning and the extension of a long name, within 40 characters. */
function shortened(name: string): string {
  const characters = Array.from(name)
  const extension = /\.[A-Za-z0-9]{1,10}$/.exec(name)?.[0] ?? ''
  return characters.slice(0, 40 - extension.length).join('') + extension
}

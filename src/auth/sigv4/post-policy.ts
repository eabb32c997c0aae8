import { Failure } from '../../core/failure.js'
import type { SizeRange } from './form-file.js'

/** A condition on one field, `bucket` among them. */
interface FieldCondition {
  readonly kind: 'eq' | 'starts-with'
  /** In lower case. */
  readonly field: string
  readonly value: string
}

/** What a signed policy allows a form to be (Amazon S3 API Reference, "Creating a POST Policy"). */
export interface PostPolicy {
  /** Milliseconds since the epoch. */
  readonly expires: number
  readonly conditions: readonly FieldCondition[]
  /** What all its `content-length-range` leave. */
  readonly size: SizeRange
}

const date = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/

/** Reads a policy from its base64. Throws `invalid` (`InvalidPolicyDocument`) for whatever is not known to be right. */
export function readPolicy(base64: string): PostPolicy {
  const document = parsed(base64)
  if (!isRecord(document)) throw invalid('it is no JSON object')
  const { expiration, conditions, ...others } = document
  const [unknown] = Object.keys(others)
  if (unknown !== undefined) throw invalid(`unexpected: '${unknown}'`)
  if (typeof expiration !== 'string' || !date.test(expiration) || Number.isNaN(Date.parse(expiration)))
    throw invalid('it needs an expiration, as 2026-12-01T12:00:00.000Z')
  if (!Array.isArray(conditions)) throw invalid('it needs conditions')
  const fields: FieldCondition[] = []
  let size: SizeRange = { least: 0, most: Infinity }
  for (const condition of conditions as readonly unknown[]) {
    const range = rangeOf(condition)
    if (range === undefined) fields.push(fieldCondition(condition))
    else size = { least: Math.max(size.least, range.least), most: Math.min(size.most, range.most) }
  }
  return { expires: Date.parse(expiration), conditions: fields, size }
}

/**
 * Requires that a policy has not expired, that each of its conditions holds, and that it has one for every field and the
 * bucket. Throws `denied` (`AccessDenied`), naming what is at fault.
 * @param fields by their names in lower case, `bucket` as the request names it, without those that need no condition
 */
export function requirePolicy(policy: PostPolicy, fields: ReadonlyMap<string, string>, now: number): void {
  if (now >= policy.expires) throw denied('Policy expired.')
  for (const condition of policy.conditions) {
    if (!holds(condition, fields.get(condition.field) ?? ''))
      throw denied(`Policy Condition failed: ["${condition.kind}", "$${condition.field}", "${condition.value}"]`)
  }
  const covered = new Set(policy.conditions.map(({ field }) => field))
  const extra = [...fields.keys()].find((name) => !covered.has(name))
  if (extra !== undefined) throw denied(`Extra input fields: ${extra}`)
}

function holds({ kind, field, value }: FieldCondition, given: string): boolean {
  if (kind === 'eq') return given === value
  // A list of types is as good as the worst of them.
  const each = field === 'content-type' ? given.split(',') : [given]
  return each.every((one, index) => (index === 0 ? one : one.trim()).startsWith(value))
}

/** `["content-length-range", 1, 10]`; undefined for any other condition. */
function rangeOf(condition: unknown): SizeRange | undefined {
  if (!Array.isArray(condition)) return undefined
  const [kind, least, most, ...others] = condition as readonly unknown[]
  if (typeof kind !== 'string' || kind.toLowerCase() !== 'content-length-range') return undefined
  const range = { least: bytesOf(least), most: bytesOf(most) }
  if (others.length > 0 || !(range.least <= range.most)) throw invalid('content-length-range needs two whole numbers')
  return range
}

/** NaN for anything but a whole number, which may stand in quotes. */
function bytesOf(value: unknown): number {
  const number = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : NaN
}

function fieldCondition(condition: unknown): FieldCondition {
  if (Array.isArray(condition)) {
    const [kind, field, value, ...others] = condition as readonly unknown[]
    const name = typeof kind === 'string' ? kind.toLowerCase() : ''
    if (name !== 'eq' && name !== 'starts-with') throw invalid('a condition is neither eq, starts-with nor a range')
    if (others.length > 0 || typeof field !== 'string' || typeof value !== 'string' || !/^\$./.test(field))
      throw invalid(`${name} needs the name of a field, after a dollar sign, and a text`)
    return { kind: name, field: field.slice(1).toLowerCase(), value }
  }
  if (!isRecord(condition)) throw invalid('a condition is neither a list nor an object')
  const [entry, ...others] = Object.entries(condition)
  if (entry === undefined || others.length > 0) throw invalid('a simple condition must have exactly one property')
  const [field, value] = entry
  if (field === '' || typeof value !== 'string') throw invalid('a simple condition needs a name and a text')
  return { kind: 'eq', field: field.toLowerCase(), value }
}

function parsed(base64: string): unknown {
  // Line ends are what many tools break base64 with; the signature is over the text as it came.
  const text = base64.replaceAll(/[\r\n]/g, '')
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw invalid('it is not in base64')
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw invalid('it is no JSON', cause)
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(why: string, cause?: unknown): Failure {
  return new Failure('invalid', `Invalid Policy: ${why}.`, { reason: 'InvalidPolicyDocument', cause })
}

function denied(why: string): Failure {
  return new Failure('denied', `Invalid according to Policy: ${why}`, { reason: 'AccessDenied' })
}

import type { Upload } from '../../../catalog/uploads.js'
import { Failure } from '../../../core/failure.js'
import type { PartPromise } from '../../../store/part-rooms.js'
import type { Session } from '../../protocol.js'
import { digestOf, fieldsOf, numberOf, type Fields } from './json-body.js'
import { mostParts, partCount, partSizeOf, type Plan } from './open-upload.js'

/** A part as its sender describes it. */
export interface Promised {
  readonly number: number
  readonly size: number
  readonly sha256: Uint8Array | undefined
  readonly md5: Uint8Array | undefined
}

/** So many at once are asked for at the service. */
export const askedAtOnce = 16

/** The list `parts` of a request. Throws `invalid` for parts that do not fit what was agreed upon, or come twice. */
export function promisedParts(fields: Fields, plan: Plan): readonly Promised[] | undefined {
  const { parts: list } = fields
  if (list === undefined) return undefined
  if (!Array.isArray(list) || list.length > mostParts)
    throw new Failure('invalid', `parts must be a list of at most ${mostParts} parts.`)
  const seen = new Set<number>()
  return list.map((value: unknown) => {
    const part = fieldsOf(value, ['number', 'size', 'sha256', 'md5'], 'A part')
    const number = numberOf(part, 'number', 1, mostParts)
    const size = numberOf(part, 'size', 0, 5 * 2 ** 30)
    if (number === undefined || size === undefined)
      throw new Failure('invalid', 'A part needs its number and its size.')
    if (seen.has(number)) throw new Failure('invalid', `Part ${number} is named twice.`)
    seen.add(number)
    requirePart(plan, number, size)
    return { number, size, sha256: digestOf(part, 'sha256', 32), md5: digestOf(part, 'md5', 16) }
  })
}

/** Throws `invalid` where the file has no such part, or one of another size. */
export function requirePart(plan: Plan, number: number, size: number): void {
  const count = partCount(plan)
  if (count !== undefined && number > count)
    throw new Failure('invalid', `The file has ${count} parts of ${plan.partSize} bytes; there is no part ${number}.`)
  const expected = partSizeOf(plan, number)
  if (expected !== undefined && size !== expected)
    throw new Failure('invalid', `Part ${number} has ${expected} bytes, not ${size}.`)
}

/** What a store is told; undefined where it could verify nothing. */
export function promiseOf({ size, sha256, md5 }: Promised): PartPromise | undefined {
  return sha256 === undefined ? undefined : { size, sha256, ...(md5 !== undefined && { md5 }) }
}

/** Whether parts may go past this server. */
export async function isDirect(session: Session, { path, id }: Upload): Promise<boolean> {
  const any = { size: 1, sha256: new Uint8Array(32), md5: new Uint8Array(16) }
  return (await session.uploads.offer(path, id, 1, any, 1)) !== undefined
}

/** Does work on all of a list, a few at once, until one fails. */
export async function forEach<Item>(list: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = list[Symbol.iterator]()
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) await work(next.value)
  }
  await Promise.all(Array.from({ length: Math.min(askedAtOnce, list.length) }, worker))
}

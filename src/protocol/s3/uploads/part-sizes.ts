import type { ByteRange, Entry } from '../../../store/store.js'

/** The attribute that tells of which parts a file was put together. */
export const partsAttribute = 's3-parts'

/** Longest value: parts that are all of different sizes would fill the attributes of a file. */
const mostCharacters = 8 * 1024

/**
 * Sizes of parts in their order as the attribute has them, equal ones in a row written once (`3x8388608,17`); undefined
 * where that is too long to be kept: nobody can ask for single parts of such an object then.
 */
export function writePartSizes(sizes: readonly number[]): string | undefined {
  const runs: { size: number; count: number }[] = []
  for (const size of sizes) {
    const last = runs.at(-1)
    if (last?.size === size) last.count++
    else runs.push({ size, count: 1 })
  }
  const text = runs.map(({ size, count }) => (count === 1 ? String(size) : `${count}x${size}`)).join(',')
  return text.length > mostCharacters ? undefined : text
}

/** The sizes of the parts of an object; undefined where it was not put together of any, or they are not known. */
export function readPartSizes({ attributes, size }: Pick<Entry, 'attributes' | 'size'>): readonly number[] | undefined {
  const text = attributes?.[partsAttribute]
  if (text === undefined) return undefined
  const sizes: number[] = []
  let sum = 0
  for (const run of text.split(',')) {
    const [, count = '1', bytes] = /^(?:(\d{1,5})x)?(\d{1,15})$/.exec(run) ?? []
    if (bytes === undefined || Number(count) > 10_000 || sizes.length > 10_000) return undefined
    for (let left = Number(count); left > 0; left--) sizes.push(Number(bytes))
    sum += Number(count) * Number(bytes)
  }
  // What has another size by now is not what was put together then.
  return sum === size ? sizes : undefined
}

/** Where a part lies in its object, `number` from 1 on; undefined where there is none of that number. */
export function rangeOfPart(sizes: readonly number[], number: number): ByteRange | undefined {
  const size = sizes[number - 1]
  if (size === undefined) return undefined
  let start = 0
  for (let before = 0; before < number - 1; before++) start += sizes[before] ?? 0
  return { start, end: start + size }
}

import type { ByteRange } from '../../store/store.js'

const mostRanges = 50
const longestField = 4096

/**
 * The parts of a file of `size` bytes that a `Range` field asks for (RFC 9110 §14.2): in the order asked, or merged and
 * ascending where some overlap. undefined where the field counts as absent: malformed, another unit, more than 50 ranges.
 * Never throws.
 */
export function parseRange(field: string, size: number): readonly ByteRange[] | 'unsatisfiable' | undefined {
  const list = /^[ \t]*bytes[ \t]*=(.*)$/is.exec(field)?.[1]
  if (list === undefined || field.length > longestField) return undefined
  const ranges: ByteRange[] = []
  let specified = 0
  for (const item of list.split(',')) {
    const text = item.trim()
    if (text === '') continue
    specified++
    const found = /^(\d*)-(\d*)$/.exec(text)
    const first = found?.[1]
    const last = found?.[2]
    if (first === undefined || last === undefined || (first === '' && last === '') || specified > mostRanges)
      return undefined
    if (first === '') {
      const length = Math.min(Number(last), size)
      // A suffix of an empty file can be satisfied, but no 206 could say so.
      if (size === 0 && Number(last) > 0) return undefined
      if (length > 0) ranges.push({ start: size - length, end: size })
    } else {
      if (last !== '' && Number(last) < Number(first)) return undefined
      if (Number(first) < size)
        ranges.push({ start: Number(first), end: last === '' ? size : Math.min(Number(last) + 1, size) })
    }
  }
  if (specified === 0) return undefined
  return ranges.length === 0 ? 'unsatisfiable' : merged(ranges)
}

/** The value of `Content-Range` for a part. */
export function contentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}

function merged(ranges: readonly ByteRange[]): readonly ByteRange[] {
  if (ranges.length === 1) return ranges
  const result: ByteRange[] = []
  for (const range of [...ranges].sort((a, b) => a.start - b.start)) {
    const last = result.at(-1)
    if (last !== undefined && range.start <= last.end)
      result[result.length - 1] = { start: last.start, end: Math.max(last.end, range.end) }
    else result.push(range)
  }
  return result.length === ranges.length ? ranges : result
}

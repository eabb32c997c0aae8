import { parseHttpDate } from '../../core/http.js'

const form = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** Milliseconds of `20260131T120000Z`; undefined for anything else, and for a day that its month does not have. */
export function amzTime(text: string): number | undefined {
  const found = form.exec(text)
  if (found === null) return undefined
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = found.slice(1).map(Number)
  if (hours > 23 || minutes > 59 || seconds > 59) return undefined
  const time = Date.UTC(year, month - 1, day, hours, minutes, seconds)
  const at = new Date(time)
  return at.getUTCMonth() === month - 1 && at.getUTCDate() === day ? time : undefined
}

/** A `Date` header, in any of its forms, as `x-amz-date` would say it; undefined where it is none. */
export function amzDateOf(httpDate: string): string | undefined {
  if (amzTime(httpDate) !== undefined) return httpDate
  const time = parseHttpDate(httpDate)
  return time === undefined ? undefined : new Date(time).toISOString().replace(/[-:]|\.\d+/g, '')
}

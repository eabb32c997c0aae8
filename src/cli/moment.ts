import { parseDate } from '../core/date.js'
import { Failure } from '../core/failure.js'

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }
const longestSeconds = 100 * 366 * 86_400

/** `45s`, `30m`, `12h`, `7d` or `2w` in seconds; a bare 0 too. Throws `invalid`. */
export function parseDuration(option: string, text: string): number {
  const seconds = durationOf(text)
  if (seconds === undefined)
    throw new Failure('invalid', `${option} must be a time such as 12h, 7d or 2w, not ${text}.`)
  return seconds
}

/** A time from now (`30d`) or a date (`2027-01-31`, `2027-01-31T12:00:00Z`; UTC without a zone) in milliseconds since the epoch. Throws `invalid` for others, and for what is over. */
export function parseMoment(option: string, text: string, now: number): number {
  const seconds = durationOf(text)
  const moment = seconds === undefined ? parseDate(text) : now + seconds * 1000
  if (moment === undefined)
    throw new Failure(
      'invalid',
      `${option} must be a time from now such as 30d, or a date such as 2027-01-31, not ${text}.`,
    )
  if (moment <= now || moment > now + longestSeconds * 1000)
    throw new Failure('invalid', `${option} ${text} is over already, or more than a hundred years away.`)
  return moment
}

function durationOf(text: string): number | undefined {
  const [, count, unit] = /^(\d{1,10})([smhdw])$/.exec(text === '0' ? '0s' : text) ?? []
  const seconds = Number(count) * (secondsOf[unit ?? ''] ?? NaN)
  return seconds <= longestSeconds ? seconds : undefined
}

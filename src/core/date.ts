/**
 * A date as people write it, in milliseconds since the epoch: `2027-01-31` (its first moment) or `2027-01-31T12:00:00Z`,
 * in UTC where it names no zone (the profile of RFC 3339 with parts left out). Undefined for anything else.
 */
export function parseDate(text: string): number | undefined {
  const [, day, clock, zone] =
    /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?)(Z|[+-]\d\d:\d\d)?)?$/.exec(text) ?? []
  if (day === undefined || !dayExists(day)) return undefined
  const moment = Date.parse(`${day}T${clock ?? '00:00'}${zone ?? 'Z'}`)
  return Number.isNaN(moment) ? undefined : moment
}

/** Date.parse takes the 31st of February for a day of March. */
function dayExists(day: string): boolean {
  const parsed = new Date(`${day}T00:00:00Z`)
  return !Number.isNaN(parsed.getTime()) && parsed.toISOString().startsWith(day)
}

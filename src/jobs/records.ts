import type { Catalog, Item } from '../catalog/catalog.js'
import type { JobOutcome } from './job.js'
import { forgottenMilliseconds, jobGroup } from './lease.js'

/** What is remembered of a job between its runs. */
export interface JobRecord {
  readonly last: JobOutcome
  /** How many runs have failed since one did not. */
  readonly failures: number
  /** When it is to run again, in milliseconds since the epoch. */
  readonly next: number
}

const prefix = 'last/'
const firstPauseMilliseconds = 30_000

/** All records by the names of their jobs. Throws `unavailable`. */
export async function readRecords(catalog: Catalog): Promise<ReadonlyMap<string, JobRecord>> {
  const records = new Map<string, JobRecord>()
  for await (const items of catalog.list(jobGroup, { prefix }))
    for (const item of items) records.set(item.name.slice(prefix.length), decode(item))
  return records
}

/** The record of one job. Throws `unavailable`. */
export async function readRecord(catalog: Catalog, name: string): Promise<JobRecord | undefined> {
  const item = await catalog.get(jobGroup, prefix + name)
  return item && decode(item)
}

/** Throws `unavailable`. */
export async function writeRecord(catalog: Catalog, name: string, record: JobRecord): Promise<void> {
  const expires = new Date(record.next + forgottenMilliseconds)
  await catalog.swap(jobGroup, prefix + name, Buffer.from(JSON.stringify(record)), 'any', expires)
}

/** The record after one more run. What failed or left something comes again sooner: after 30 s, then twice as long each time. */
export function recordAfter(
  outcome: JobOutcome,
  before: JobRecord | undefined,
  { everySeconds, now }: { readonly everySeconds: number; readonly now: number },
): JobRecord {
  const failures = outcome.result === 'done' ? 0 : (before?.failures ?? 0) + 1
  const every = everySeconds * 1000
  const pause = failures === 0 ? every : Math.min(every, firstPauseMilliseconds * 2 ** Math.min(failures - 1, 20))
  return { last: outcome, failures, next: now + pause }
}

/** Whether its time has come. One that lies further ahead than it can was written by a clock that was wrong. */
export function isDue(record: JobRecord | undefined, everySeconds: number, now: number): boolean {
  return record === undefined || record.next <= now || record.next > now + everySeconds * 1000
}

function decode({ value }: Item): JobRecord {
  return JSON.parse(Buffer.from(value).toString()) as JobRecord
}

import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream'
import { createInterface } from 'node:readline'
import { createGzip } from 'node:zlib'
import type { Catalog } from '../catalog/catalog.js'
import type { Clock } from '../core/clock.js'
import { isFailure } from '../core/failure.js'
import { memberOf } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import type { Store } from '../store/store.js'
import type { Job } from './job.js'
import { forgottenMilliseconds, jobGroup } from './lease.js'

export interface ExportOptions {
  /** Of the job. */
  readonly name: string
  /** Files of JSON lines that begin with their time, the older ones first; they need not be there. */
  readonly files: readonly string[]
  /** The folder that gets a file for each day. Made where it is missing. */
  readonly to: StorePath
  readonly store: Store
  readonly catalog: Catalog
  readonly clock: Clock
  /** Names this host in the names of files. */
  readonly host: string
}

const time = /^\{"time":"(\d{4}-\d\d-\d\d)T/

/**
 * A job that puts the lines of each day that is over (UTC) into `TO/DAY-HOST.jsonl.gz`. A file that is there is taken for
 * what an earlier run has written, and stays. Memory stays flat.
 */
export function exportJob(options: ExportOptions): Job {
  const { name, files, to, store, catalog, clock, host } = options
  const record = `exported/${name}@${host}`

  async function* lines(): AsyncGenerator<{ readonly day: string; readonly line: string }> {
    for (const file of files) {
      const stream = createReadStream(file)
      try {
        for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
          const day = time.exec(line)?.[1]
          if (day !== undefined) yield { day, line }
        }
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
      } finally {
        stream.destroy()
      }
    }
  }

  async function* textOf(wanted: string): AsyncGenerator<string> {
    for await (const { day, line } of lines()) if (day === wanted) yield `${line}\n`
  }

  async function write(day: string, signal: AbortSignal): Promise<boolean> {
    const path = memberOf(to, `${day}-${host.replace(/[^\w.-]/g, '_')}.jsonl.gz`)
    if (path === undefined) return false
    const zipped = createGzip()
    // What fails on the way fails the body.
    pipeline(textOf(day), zipped, () => undefined)
    try {
      await store.write(path, zipped, { ifNoneMatch: '*', parents: true, signal })
      return true
    } catch (error) {
      if (isFailure(error, 'precondition')) return false
      throw error
    } finally {
      zipped.destroy()
    }
  }

  async function lastDay(): Promise<string> {
    const item = await catalog.get(jobGroup, record)
    return item === undefined ? '' : Buffer.from(item.value).toString()
  }

  async function remember(day: string): Promise<void> {
    const expires = new Date(clock.now() + forgottenMilliseconds)
    await catalog.swap(jobGroup, record, Buffer.from(day), 'any', expires)
  }

  return {
    name,
    everySeconds: 3600,
    perHost: true,
    wanted: async () => (await lastDay()) < dayBefore(clock.now()),
    async run(signal) {
      const last = await lastDay()
      const until = dayBefore(clock.now())
      const days = new Set<string>()
      for await (const { day } of lines()) if (day > last && day <= until) days.add(day)
      let written = 0
      for (const day of [...days].sort()) {
        signal.throwIfAborted()
        if (await write(day, signal)) written += 1
        await remember(day)
      }
      if (last < until) await remember(until)
      return { counts: { days: written } }
    },
  }
}

function dayBefore(now: number): string {
  return new Date(now - 24 * 3600 * 1000).toISOString().slice(0, 10)
}

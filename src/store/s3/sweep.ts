import type { S3Context } from './context.js'
import { testPrefix } from './detect.js'
import { objectsBelow, removeKeys } from './many-keys.js'
import { finishMoves, timeThere } from './move-journal.js'

const dayMilliseconds = 24 * 3600 * 1000
/** After so many the service is away. */
const mostFaults = 100

export interface SweepOptions {
  /** Milliseconds since the epoch; what began before was left by the dead. A day ago by default. */
  readonly before?: number
  /** A move of which there was no sign for so many milliseconds is nobody's. */
  readonly silence?: number
  readonly signal?: AbortSignal
}

/** What was cleared away. */
export interface Swept {
  readonly uploads: number
  readonly tests: number
  readonly moves: number
}

/**
 * Clears away what killed processes have left in a bucket: uploads in parts that never became an object, objects of
 * self-tests, and moves that were interrupted, which are finished or undone. At any time, by any number of instances. All
 * three are tried; throws the first failure.
 */
export async function sweep(context: S3Context, options: SweepOptions = {}): Promise<Swept> {
  const { before, silence, signal } = options
  const isLeft = judgeOf(context, before)
  const [moves, uploads, tests] = await Promise.allSettled([
    finishMoves(context, silence),
    abortUploads(context, isLeft, signal),
    removeTests(context, isLeft, signal),
  ])
  for (const each of [moves, uploads, tests]) if (each.status === 'rejected') throw each.reason
  return { uploads: valueOf(uploads), tests: valueOf(tests), moves: valueOf(moves) }
}

function valueOf(result: PromiseSettledResult<number>): number {
  return result.status === 'fulfilled' ? result.value : 0
}

/** Whether what began then was left behind. */
type Judge = (begun: number) => Promise<boolean>

/**
 * By the clock of the service, which is asked only where ours calls something old: with a clock that is wrong by a day, one
 * instance would abort what all others are uploading.
 */
function judgeOf(context: S3Context, before: number | undefined): Judge {
  if (before !== undefined) return async (begun) => begun < before
  let there: Promise<number> | undefined
  return async (begun) => {
    if (begun >= Date.now() - dayMilliseconds) return false
    return begun < (await (there ??= timeThere(context))) - dayMilliseconds
  }
}

/** Uploads of every key below the prefix: also of other programs that write there, if they have not ended for so long. */
async function abortUploads({ service }: S3Context, isLeft: Judge, signal?: AbortSignal): Promise<number> {
  let aborted = 0
  const faults: unknown[] = []
  for await (const uploads of service.listUploads(signal))
    for (const upload of uploads) {
      if (!(await isLeft(upload.begun))) continue
      signal?.throwIfAborted()
      try {
        await service.abortUpload(upload)
        aborted++
      } catch (error) {
        // The bucket lists it still, so it is found again. The others need not wait for it.
        faults.push(error)
        if (faults.length >= mostFaults) break
      }
    }
  if (faults.length > 0) throw faults[0]
  return aborted
}

async function removeTests({ service }: S3Context, isLeft: Judge, signal?: AbortSignal): Promise<number> {
  let removed = 0
  for await (const objects of objectsBelow(service, testPrefix, signal)) {
    const keys: string[] = []
    for (const { key, modified } of objects) if (await isLeft(modified)) keys.push(key)
    await removeKeys(service, keys, signal)
    removed += keys.length
  }
  return removed
}

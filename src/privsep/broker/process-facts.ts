import { readdirSync, readFileSync } from 'node:fs'

/**
 * Bytes of memory that a process holds for itself, in the swap too; what it shares with others through files does not count.
 * Undefined where it is gone.
 */
export function memoryOf(pid: number): number | undefined {
  const status = readOrNothing(`/proc/${pid}/status`)
  if (status === undefined) return undefined
  const kilobytes = [...status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm)].map(([, count]) =>
    Number(count),
  )
  return kilobytes.reduce((sum, count) => sum + count, 0) * 1024
}

/** How long a process has worked, in hundredths of a second (proc_pid_stat(5), utime and stime). Undefined where it is gone. */
export function workedTicksOf(pid: number): number | undefined {
  // The name, which the process chooses, stands in parentheses, and may hold some.
  const fields = readOrNothing(`/proc/${pid}/stat`)
    ?.replace(/^.*\) /s, '')
    .split(' ')
  return fields === undefined ? undefined : Number(fields[11]) + Number(fields[12])
}

/** Descriptors that a process has open. Undefined where it is gone. */
export function openFilesOf(pid: number): number | undefined {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return undefined
  }
}

function readOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

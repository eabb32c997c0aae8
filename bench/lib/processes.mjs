// What processes use, as /proc tells it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'

const ticksPerSecond = 100
const shortest = 0.2

/** The fields of a stat file from the third on. @param {string | number} pid */
function fields(pid) {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')
}

/**
 * A process and all that descend from it; `born` tells a process from a later one with its id.
 * @param {number} pid @returns {{ pid: number, born: string, cpu: number }[]}
 */
export function family(pid) {
  try {
    const found = fields(pid)
    if (found[0] === 'Z') return []
    const children = readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    )
    const cpu = (Number(found[11]) + Number(found[12])) / ticksPerSecond
    return [{ pid, born: found[19], cpu }, ...children.flatMap(family)]
  } catch {
    return []
  }
}

/** Lets the peak memory of a server be counted from now on. @param {number} pid */
export function forgetPeak(pid) {
  for (const one of family(pid)) {
    try {
      writeFileSync(`/proc/${one.pid}/clear_refs`, '5')
    } catch {
      // It has ended, or the kernel keeps no such count: then the peak is that since the start.
    }
  }
}

/** The highest resident memory in MB since {@link forgetPeak}, summed over the processes of a server. @param {number} pid */
export function peakMegabytes(pid) {
  const kibibytes = family(pid).map((one) => {
    try {
      return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${one.pid}/status`, 'utf8'))?.[1] ?? 0)
    } catch {
      return 0
    }
  })
  return (kibibytes.reduce((sum, each) => sum + each, 0) * 1024) / 1e6
}

function spent(pid) {
  const own = fields('self').slice(11, 15).map(Number)
  const [user, nice, system, , , interrupts, soft, stolen] = readFileSync('/proc/stat', 'utf8')
    .split('\n', 1)[0]
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number)
  return {
    server: family(pid).reduce((sum, { cpu }) => sum + cpu, 0),
    generator: own.reduce((sum, each) => sum + each, 0) / ticksPerSecond,
    machine: (user + nice + system + interrupts + soft + stolen) / ticksPerSecond,
    at: performance.now() / 1000,
  }
}

/**
 * Does some work, and adds to its result the CPU seconds per second that the server, the generator (this process and
 * what it started) and everything else on the machine took meanwhile. Nothing is added for work too short to tell.
 * @template T @param {number} pid @param {() => Promise<T>} work
 * @returns {Promise<T & { cpu?: { server: number, generator: number, foreign: number } }>}
 */
export async function accounted(pid, work) {
  const before = spent(pid)
  const result = await work()
  const after = spent(pid)
  const seconds = after.at - before.at
  if (seconds < shortest) return result
  const server = (after.server - before.server) / seconds
  const generator = (after.generator - before.generator) / seconds
  const foreign = Math.max(0, (after.machine - before.machine) / seconds - server - generator)
  const rounded = (share) => Math.round(share * 100) / 100
  return { ...result, cpu: { server: rounded(server), generator: rounded(generator), foreign: rounded(foreign) } }
}

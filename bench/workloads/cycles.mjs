import { readFileSync } from 'node:fs'
import { askColour, exclusiveLock, hasColour, lockHeaders, propfind, setColour, xml } from '../lib/dav.mjs'
import { expectStatus, send, Wrong } from '../lib/http.mjs'
import { expectAll, requests, warming } from '../lib/load.mjs'
import { buildFiles, kibibyte, onDisk } from '../lib/site.mjs'

const tolerated = 0.05

/** Throws unless a lock keeps out who does not show its token, and can be given back. */
async function expectLocking(server, path) {
  const lock = await send(server, 'LOCK', path, lockHeaders, exclusiveLock)
  expectStatus(lock.status, [200, 201], 'LOCK')
  const without = await send(server, 'PUT', path, {}, kibibyte)
  if (without.status !== 423) throw new Wrong(`PUT without the token: ${without.status}`)
  const unlock = await send(server, 'UNLOCK', path, { 'Lock-Token': String(lock.headers['lock-token']) })
  if (unlock.status !== 204) throw new Wrong(`UNLOCK: ${unlock.status}`)
  const after = await send(server, 'PUT', path, {}, kibibyte)
  expectStatus(after.status, [200, 201, 204], 'PUT after UNLOCK')
}

/**
 * LOCK, PUT with the token, UNLOCK. A cycle in which a good token is refused or a lock is lost is broken.
 * @param {string} name @param {number} connections with a file each @param {number} cycles
 * @param {number} most how often the time of a steady load it may take
 * @param {import('./index.mjs').Goal[]} goals @returns {import('./index.mjs').Workload}
 */
function lockCycle(name, connections, cycles, most, goals) {
  const folder = `/w/${name}`
  const path = `${folder}/f{f}.txt`
  return {
    name,
    documents: [],
    rows: [{ name, title: `LOCK, PUT, UNLOCK, ${connections} connections`, unit: 'cycles/s', goals }],
    prepare: () => buildFiles(folder, connections),
    async run({ server, count, seconds }) {
      await expectLocking(server, `${folder}/tried.txt`)
      const steps = [
        { method: 'LOCK', path, headers: lockHeaders, body: exclusiveLock },
        { method: 'PUT', path, headers: { If: '({t})' }, body: kibibyte },
        { method: 'UNLOCK', path, headers: { 'Lock-Token': '{t}' } },
      ]
      const bounds = { connections, cycles: count(cycles), seconds: seconds * most, warm: seconds / warming }
      const result = await requests(server, steps, bounds)
      const told = `${result.broken} of ${result.cycles} broken`
      if (result.broken > result.cycles * tolerated) throw new Wrong(told)
      if (readFileSync(`${onDisk(folder)}/f0.txt`, 'utf8') !== kibibyte) throw new Wrong('other content')
      return { [name]: { ...result, value: result.rate, note: result.broken > 0 ? told : undefined } }
    },
  }
}

export const lockcycle = lockCycle('lockcycle', 4, 10_000, 2, [{ ratio: 2 }])
/** Many at the same time, none of which may break. Some peers are not the same afterwards, so the server is a new one. */
export const lockstorm = {
  ...lockCycle('lockstorm', 64, 10_000, 10, [{ unbroken: true }]),
  fresh: /** @type {const} */ (true),
}

const properties = '/w/properties'
const fileCount = 4

/** @type {import('./index.mjs').Workload} */
export const propcycle = {
  name: 'propcycle',
  documents: [],
  rows: [{ name: 'propcycle', title: 'PROPPATCH, PROPFIND, 4 connections', unit: 'cycles/s', goals: [{ ratio: 3 }] }],
  prepare: () => buildFiles(properties, fileCount),
  async run({ server, seconds }) {
    const path = `${properties}/f{f}.txt`
    const first = await send(server, 'PROPPATCH', `${properties}/f0.txt`, xml, setColour)
    expectStatus(first.status, [200, 204, 207], 'PROPPATCH')
    const steps = [{ method: 'PROPPATCH', path, headers: xml, body: setColour }, propfind(path, '0', askColour)]
    const result = await requests(server, steps, {
      connections: fileCount,
      cycles: 1e6,
      seconds,
      warm: seconds / warming,
    })
    expectAll(result, [200, 204, 207], 0)
    expectAll(result, [207], 1)
    for (let index = 0; index < fileCount; index++) {
      const { path, headers, body } = propfind(`${properties}/f${index}.txt`, '0', askColour)
      const answer = await send(server, 'PROPFIND', path, headers, body)
      if (!hasColour.test(answer.body.toString())) throw new Wrong('the property is not kept')
    }
    return { propcycle: { ...result, value: result.rate } }
  },
}

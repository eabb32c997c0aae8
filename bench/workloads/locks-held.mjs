import { exclusiveLock, lockHeaders, propfind } from '../lib/dav.mjs'
import { send, Wrong } from '../lib/http.mjs'
import { expectAll, requests } from '../lib/load.mjs'
import { buildFiles, kibibyte } from '../lib/site.mjs'

const folder = '/w/many'
const free = `${folder}/free{f}.txt`

const loads = {
  'held-pf10': { steps: [propfind('/data/list-10/', '1')], connections: 4 },
  'held-put': { steps: [{ method: 'PUT', path: free, body: kibibyte }], connections: 4 },
  // On one connection, because one of the peers loses locks on several.
  'held-lock': {
    steps: [
      { method: 'LOCK', path: free, headers: lockHeaders, body: exclusiveLock },
      { method: 'UNLOCK', path: free, headers: { 'Lock-Token': '{t}' } },
    ],
    connections: 1,
  },
}

async function rates({ server, seconds }) {
  const found = {}
  for (const [name, { steps, connections }] of Object.entries(loads)) {
    const result = await requests(server, steps, { connections, cycles: 1e6, seconds: seconds / 3 })
    for (const step of steps.keys()) expectAll(result, [200, 201, 204, 207], step)
    found[name] = result
  }
  return found
}

async function takeLocks(server, wanted) {
  const step = { method: 'LOCK', path: `${folder}/f{n}.txt`, headers: lockHeaders, body: exclusiveLock }
  const result = await requests(server, [step], { cycles: wanted, seconds: 60 })
  expectAll(result, [200, 201])
  if (result.cycles !== wanted) throw new Wrong(`only ${result.cycles} of ${wanted} locks in time`)
  for (const index of [0, Math.floor(wanted / 2), wanted - 1]) {
    const { status } = await send(server, 'PUT', `${folder}/f${index}.txt`, {}, kibibyte)
    if (status !== 423) throw new Wrong(`PUT to a locked file: ${status}`)
  }
}

const row = (name, what) => ({
  name,
  title: `${what}, 10,000 locks held : none`,
  unit: 'of 1',
  goals: [{ atLeast: 0.8 }],
})

/** How much of a rate is left while 10,000 locks are held. @type {import('./index.mjs').Workload} */
export const locksHeld = {
  name: 'locks-held',
  documents: ['list-10'],
  rows: [
    row('held-pf10', 'PROPFIND of 10 files'),
    row('held-put', 'PUT 1 KiB beside them'),
    row('held-lock', 'LOCK, UNLOCK beside them'),
  ],
  prepare: ({ count }) => buildFiles(folder, count(10_000)),
  async run(context) {
    await rates({ ...context, seconds: 1 }) // the first few are slower than all later ones
    const before = await rates(context)
    await takeLocks(context.server, context.count(10_000))
    const after = await rates(context)
    return Object.fromEntries(
      Object.keys(loads).map((name) => [
        name,
        { ...after[name], value: after[name].rate / before[name].rate, rateWithout: before[name].rate },
      ]),
    )
  },
}

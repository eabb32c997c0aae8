import { allprop, expectListing, folderMembers, named, propfind, treeMembers } from '../lib/dav.mjs'
import { expectAll, requests, warming } from '../lib/load.mjs'
import { buildTree } from '../lib/site.mjs'

const enough = 1e6

/** Checks one listing in full, then measures how many of them come. */
async function measure({ server, seconds }, step, members, connections) {
  const bytesEach = await expectListing(server, step, members)
  const bounds = { connections, cycles: enough, seconds: seconds / 2, warm: seconds / warming }
  const result = await requests(server, [step], bounds)
  expectAll(result, [207])
  return { ...result, bytesEach }
}

/**
 * @param {number} files @param {'all' | 'named'} kind @param {number} connections @param {number} [ratio] the goal
 * @returns {import('./index.mjs').Workload}
 */
function listing(files, kind, connections, ratio) {
  const name = `pf${files}-${kind}`
  const folder = `/data/list-${files}/`
  const asked = kind === 'all' ? 'allprop' : 'five named'
  const title = `PROPFIND of ${files.toLocaleString('en')} files, ${asked}`
  return {
    name,
    documents: [`list-${files}`],
    rows: [{ name, title, unit: 'req/s', goals: ratio === undefined ? [] : [{ ratio }] }],
    async run(context) {
      const step = propfind(folder, '1', kind === 'all' ? allprop : named)
      const result = await measure(context, step, folderMembers(folder, files), connections)
      return { [name]: { ...result, value: result.rate } }
    },
  }
}

export const listings = [
  listing(10, 'all', 4, 2.5),
  listing(10, 'named', 4, 1.5),
  listing(1000, 'all', 4, 2.5),
  listing(1000, 'named', 4, 1),
  listing(10_000, 'all', 1, 2.5),
  listing(10_000, 'named', 1, 1.3),
  listing(50_000, 'all', 1),
]

const folder = '/w/tree/'

/** @type {import('./index.mjs').Workload} */
export const pfinf = {
  name: 'pfinf',
  documents: [],
  rows: [
    { name: 'pfinf', title: 'PROPFIND infinity, 100 × 100 files', unit: 'ms', lower: true, goals: [{ ratio: 2.5 }] },
  ],
  prepare: () => buildTree('/w/tree'),
  async run(context) {
    const result = await measure(context, propfind(folder, 'infinity'), treeMembers(folder), 1)
    return { pfinf: { ...result, value: result.steps[0].p50 } }
  },
}

import { expectListing, folderMembers, propfind } from '../lib/dav.mjs'
import { peakMegabytes } from '../lib/processes.mjs'
import { expectAll, requests } from '../lib/load.mjs'
import { download, uploadOnce } from './big-body.mjs'

const most = 150

/** @type {import('./index.mjs').Workload} */
export const start = {
  name: 'start',
  fresh: true,
  documents: ['1k.bin'],
  rows: [{ name: 'start', title: 'start to first answer', unit: 'ms', lower: true, goals: [{ atMost: 300 }] }],
  run: async ({ server }) => ({ start: { value: server.startMilliseconds } }),
}

const folder = '/data/list-50000/'

/** @type {import('./index.mjs').Workload} */
export const memoryOfListing = {
  name: 'rss-list',
  fresh: true,
  documents: ['list-50000'],
  rows: [
    {
      name: 'rss-list',
      title: 'peak RSS, PROPFIND of 50,000 files, 4 times',
      unit: 'MB',
      lower: true,
      goals: [{ atMost: most }],
    },
  ],
  async run({ server }) {
    const step = propfind(folder, '1')
    await expectListing(server, step, folderMembers(folder, 50_000))
    const result = await requests(server, [step], { cycles: 3 })
    expectAll(result, [207])
    return { 'rss-list': { value: peakMegabytes(server.pid) } }
  },
}

/** @type {import('./index.mjs').Workload} */
export const memoryOfBodies = {
  name: 'rss-1g',
  fresh: true,
  documents: ['1g.bin'],
  folders: ['/w/big'],
  rows: [
    { name: 'rss-1g', title: 'peak RSS, GET and PUT of 1 GiB', unit: 'MB', lower: true, goals: [{ atMost: most }] },
  ],
  async run({ server }) {
    await download(server)
    await uploadOnce(server)
    return { 'rss-1g': { value: peakMegabytes(server.pid) } }
  },
}

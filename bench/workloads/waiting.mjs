import { setTimeout as pause } from 'node:timers/promises'
import { propfind } from '../lib/dav.mjs'
import { Refused } from '../lib/http.mjs'
import { expectAll, probeDuring, requests } from '../lib/load.mjs'
import { buildTree } from '../lib/site.mjs'
import { remove, transfer } from './tree.mjs'

const tiny = '/data/1k.bin'
const longest = 20

const row = (name, meanwhile) => ({
  name,
  title: `longest wait for 1 KiB ${meanwhile}`,
  unit: 'ms',
  lower: true,
  goals: name === 'wait-idle' ? [] : [{ atMost: longest }],
})

/** How long a small request waits while another client has a big one. @type {import('./index.mjs').Workload} */
export const waiting = {
  name: 'waiting',
  documents: ['1k.bin', 'list-50000'],
  rows: [
    row('wait-idle', 'with nothing beside it'),
    row('wait-list', 'during a PROPFIND of 50,000'),
    row('wait-copy', 'during a COPY of 10,000'),
    row('wait-delete', 'during a DELETE of 10,000'),
  ],
  prepare: () => buildTree('/w/tree'),
  async run({ server }) {
    const works = {
      'wait-idle': () => pause(1000),
      'wait-list': async () => expectAll(await requests(server, [propfind('/data/list-50000/', '1')], {}), [207]),
      'wait-copy': () => transfer(server, 'COPY', '/w/tree', '/w/copied-beside'),
      'wait-delete': () => remove(server, '/w/copied-beside'),
    }
    await probeDuring(server, tiny, () => pause(500))
    const found = {}
    for (const [name, work] of Object.entries(works)) {
      try {
        const result = await probeDuring(server, tiny, work)
        found[name] = { ...result, value: result.steps[0].max }
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        found[name] = { refused: error.message }
      }
    }
    return found
  },
}

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { Wrong } from '../lib/http.mjs'
import { expectAll, requests } from '../lib/load.mjs'
import { kibibyte, onDisk } from '../lib/site.mjs'

const folder = '/w/put'
const everyHowManyRead = 50

function expectFiles(count) {
  const names = readdirSync(onDisk(folder)).filter((name) => /^new\d+\.bin$/.test(name))
  if (names.length !== count) throw new Wrong(`${names.length} of ${count} files on disk`)
  for (const [index, name] of names.entries()) {
    const file = `${onDisk(folder)}/${name}`
    const right =
      index % everyHowManyRead === 0 ? readFileSync(file, 'utf8') === kibibyte : statSync(file).size === kibibyte.length
    if (!right) throw new Wrong(`other content in ${name}`)
  }
}

/** @type {import('./index.mjs').Workload} */
export const put1k = {
  name: 'put1k',
  documents: [],
  folders: [folder],
  rows: [
    {
      name: 'put1k',
      title: 'PUT 1 KiB, 10,000 new files, 8 connections',
      unit: 'req/s',
      goals: [{ ratio: 1.5 }, { ratio: 0.6, peer: 'postern-full' }],
    },
  ],
  async run({ server, count }) {
    const files = count(10_000)
    const step = { method: 'PUT', path: `${folder}/new{n}.bin`, body: kibibyte }
    const result = await requests(server, [step], { connections: 8, cycles: files })
    expectAll(result, [200, 201, 204])
    expectFiles(files)
    return { put1k: { ...result, value: result.rate } }
  },
}

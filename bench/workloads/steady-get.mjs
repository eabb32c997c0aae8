import { readFileSync } from 'node:fs'
import { expectStatus, send, Wrong } from '../lib/http.mjs'
import { steadyGets } from '../lib/load.mjs'
import { onDisk } from '../lib/site.mjs'

async function run({ server, seconds }, name) {
  const path = `/data/${name}`
  const content = readFileSync(onDisk(path))
  const answer = await send(server, 'GET', path)
  expectStatus(answer.status, [200], 'GET')
  if (!answer.body.equals(content)) throw new Wrong('other content')
  return steadyGets(server, path, content.length, { connections: 16, seconds })
}

/** @type {import('./index.mjs').Workload} */
export const get1k = {
  name: 'get1k',
  documents: ['1k.bin'],
  rows: [{ name: 'get1k', title: 'GET 1 KiB, 16 connections', unit: 'req/s', goals: [{ ratio: 1.5 }] }],
  async run(context) {
    const result = await run(context, '1k.bin')
    return { get1k: { ...result, value: result.rate } }
  },
}

/** @type {import('./index.mjs').Workload} */
export const get1m = {
  name: 'get1m',
  documents: ['1m.bin'],
  rows: [{ name: 'get1m', title: 'GET 1 MiB, 16 connections', unit: 'MB/s' }],
  async run(context) {
    const result = await run(context, '1m.bin')
    return { get1m: { ...result, value: (result.rate * 2 ** 20) / 1e6 } }
  },
}

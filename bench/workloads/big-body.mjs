import { closeSync, openSync, readSync, rmSync, statSync } from 'node:fs'
import { expectStatus, send, Wrong } from '../lib/http.mjs'
import { expectAll, requests } from '../lib/load.mjs'
import { onDisk, touchMemory } from '../lib/site.mjs'

export const size = 2 ** 30
export const documentPath = '/data/1g.bin'
const path = documentPath
const upload = '/w/big/upload.bin'
const sample = { from: 700_000_003, length: 100_000 }

/** The headers that ask for a piece, and that piece of a file. */
export const sampled = { Range: `bytes=${sample.from}-${sample.from + sample.length - 1}` }

export function sampleOf(path) {
  const bytes = Buffer.alloc(sample.length)
  const file = openSync(onDisk(path), 'r')
  readSync(file, bytes, 0, sample.length, sample.from)
  closeSync(file)
  return bytes
}

/** Reads the document, so that all of it is in the page cache. */
export function warm() {
  const bytes = Buffer.alloc(2 ** 22)
  const file = openSync(onDisk(path), 'r')
  while (readSync(file, bytes) > 0);
  closeSync(file)
}

export const megabytesPerSecond = ({ seconds }) => size / 1e6 / seconds

/** One whole download, checked. @param {import('../lib/server.mjs').Server} server */
export async function download(server) {
  warm()
  const result = await requests(server, [{ method: 'GET', path }], {})
  expectAll(result, [200])
  if (result.bytes !== size) throw new Wrong(`${result.bytes} bytes`)
  const part = await send(server, 'GET', path, sampled)
  expectStatus(part.status, [206], 'GET of a range')
  if (!part.body.equals(sampleOf(path))) throw new Wrong('other content')
  return { ...result, value: megabytesPerSecond(result) }
}

/** One whole upload, checked. @param {import('../lib/server.mjs').Server} server */
export async function uploadOnce(server) {
  touchMemory()
  warm()
  const result = await requests(server, [{ method: 'PUT', path: upload, file: onDisk(path) }], {})
  expectAll(result, [200, 201, 204])
  if (statSync(onDisk(upload)).size !== size) throw new Wrong('not all bytes on disk')
  if (!sampleOf(upload).equals(sampleOf(path))) throw new Wrong('other content')
  rmSync(onDisk(upload))
  return { ...result, value: megabytesPerSecond(result) }
}

/** @type {import('./index.mjs').Workload} */
export const get1g = {
  name: 'get1g',
  documents: ['1g.bin'],
  rows: [{ name: 'get1g', title: 'GET 1 GiB, 1 connection', unit: 'MB/s', goals: [{ ratio: 0.75 }] }],
  run: async ({ server }) => ({ get1g: await download(server) }),
}

/** @type {import('./index.mjs').Workload} */
export const put1g = {
  name: 'put1g',
  documents: ['1g.bin'],
  folders: ['/w/big'],
  rows: [{ name: 'put1g', title: 'PUT 1 GiB, 1 connection', unit: 'MB/s', goals: [{ ratio: 1.2 }] }],
  run: async ({ server }) => ({ put1g: await uploadOnce(server) }),
}

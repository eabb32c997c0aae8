import { expectAll, requests, warming } from '../lib/load.mjs'
import { ask, hashOf, makeBucket, page, pagesOf, pathOf, signedStep } from '../lib/s3.mjs'
import { kibibyte } from '../lib/site.mjs'
import { Wrong } from '../lib/http.mjs'

const folder = 'put/'
const target = (index) => pathOf(`${folder}new${String(index).padStart(5, '0')}.bin`)
const everyHowManyRead = 100

/** How many of these keys a server has; all are there before they are read. */
const filled = new WeakMap()

const putSteps = (server, count) => {
  const payload = hashOf(kibibyte)
  return Array.from({ length: count }, (_, index) =>
    signedStep(server, 'PUT', target(index), { body: kibibyte, payload }),
  )
}

/** Puts the keys where they are missing; every request carries a signature of its own. */
async function put(server, count) {
  await makeBucket(server)
  const result = await requests(server, putSteps(server, count), { connections: 8, cycles: count, each: true })
  expectAll(result, [200])
  for (let index = 0; index < count; index += everyHowManyRead) {
    const { body } = await ask(server, 'GET', target(index))
    if (body.toString() !== kibibyte) throw new Wrong(`other content in ${target(index)}`)
  }
  await pagesOf(server, folder, count)
  filled.set(server, count)
  return result
}

async function filledWith(server, count) {
  if (filled.get(server) !== count) await put(server, count)
}

/** @type {import('./index.mjs').Workload} */
export const s3Put1k = {
  name: 's3-put1k',
  speaks: 's3',
  documents: [],
  rows: [
    {
      name: 's3-put1k',
      title: 'PUT 1 KiB, 10,000 new keys, 8 connections',
      unit: 'req/s',
      goals: [{ ratio: 1, peer: 'postern-s3' }],
    },
  ],
  async run({ server, count }) {
    const result = await put(server, count(10_000))
    return { 's3-put1k': { ...result, value: result.rate } }
  },
}

/** @type {import('./index.mjs').Workload} */
export const s3Get1k = {
  name: 's3-get1k',
  speaks: 's3',
  documents: [],
  rows: [
    {
      name: 's3-get1k',
      title: 'GET 1 KiB of 10,000 keys in turn, 16 connections',
      unit: 'req/s',
      goals: [{ ratio: 1, peer: 'postern-s3' }],
    },
  ],
  async run({ server, count, seconds }) {
    const keys = count(10_000)
    await filledWith(server, keys)
    const steps = Array.from({ length: keys }, (_, index) => signedStep(server, 'GET', target(index)))
    const bounds = { connections: 16, cycles: 1e7, seconds, warm: seconds / warming, each: true }
    const result = await requests(server, steps, bounds)
    expectAll(result, [200])
    if (result.bytes !== result.cycles * kibibyte.length) throw new Wrong('answers of other lengths')
    return { 's3-get1k': { ...result, value: result.rate } }
  },
}

/** @type {import('./index.mjs').Workload} */
export const s3List = {
  name: 's3-list10k',
  speaks: 's3',
  documents: [],
  rows: [
    {
      name: 's3-list10k',
      title: 'ListObjectsV2 of 10,000 keys, 10 pages',
      unit: 'ms',
      lower: true,
      goals: [{ ratio: 1, peer: 'postern-s3' }],
    },
    { name: 's3-list1', title: 'ListObjectsV2, one page of 1,000 keys', unit: 'ms', lower: true },
  ],
  async run({ server, count, seconds }) {
    const keys = count(10_000)
    await filledWith(server, keys)
    const targets = await pagesOf(server, folder, keys)
    const steps = targets.map((each) => signedStep(server, 'GET', each))
    const result = await requests(server, steps, { cycles: 1e6, seconds, warm: seconds / warming })
    for (const index of steps.keys()) expectAll(result, [200], index)
    if (result.broken > 0) throw new Wrong(`${result.broken} listings broken`)
    const middle = result.steps[Math.floor(steps.length / 2)]
    await page(server, targets.at(-1))
    return {
      's3-list10k': { ...result, value: 1000 / result.rate },
      's3-list1': { ...result, value: middle.p50 },
    }
  },
}

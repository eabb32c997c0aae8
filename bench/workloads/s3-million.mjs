import { Wrong } from '../lib/http.mjs'
import { forgetPeak, peakMegabytes } from '../lib/processes.mjs'
import { page } from '../lib/s3.mjs'
import { queryOf } from '../lib/s3-sign.mjs'

const keys = 1_000_000
const perPage = 1000

const targetOf = (prefix, more) => `/millions?${queryOf({ 'list-type': '2', prefix, ...more })}`

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** So often is a page asked for again, each time by a client of its own. */
const repeats = 9

async function again(server, target) {
  const times = []
  for (let turn = 0; turn < repeats; turn++) times.push((await page(server, target)).milliseconds)
  return median(times)
}

/** Follows all pages of a prefix once, as `aws s3 ls --recursive` does. */
async function walk(server, prefix) {
  let target = targetOf(prefix)
  const first = target
  const times = []
  let [count, before] = [0, '']
  for (;;) {
    const { keys: found, next, milliseconds } = await page(server, target)
    if (found.length !== perPage || found[0] <= before)
      throw new Wrong(`page ${times.length + 1} is not as it should be`)
    times.push(milliseconds)
    count += found.length
    before = found.at(-1)
    if (next === undefined) break
    target = targetOf(prefix, { 'continuation-token': next })
  }
  if (count !== keys) throw new Wrong(`${count} keys`)
  return { times, first, last: target }
}

async function measure({ server }, prefix) {
  forgetPeak(server.pid)
  const { times, first, last } = await walk(server, prefix)
  const peak = peakMegabytes(server.pid)
  const cold = times[0]
  return {
    cold,
    mean: times.reduce((sum, each) => sum + each, 0) / times.length,
    most: Math.max(...times),
    peak,
    first,
    last,
  }
}

const note = ({ cold, most }) => `the first of all ${cold.toFixed(0)} ms, the longest ${most.toFixed(0)} ms`

/**
 * A million keys that lie on disk already; each page is a request on a connection of its own.
 * @param {string} name @param {string} title @param {string} prefix @returns {import('./index.mjs').Workload}
 */
function million(name, title, prefix) {
  const row = (part, what, unit) => ({
    name: `${name}-${part}`,
    title: `${title}: ${what}`,
    unit,
    lower: /** @type {const} */ (true),
  })
  return {
    name,
    speaks: 's3',
    fresh: true,
    documents: [prefix],
    rows: [
      row('mean', 'a page of 1,000, all pages followed', 'ms'),
      row('first', 'page 1, again', 'ms'),
      row('last', 'page 1,000, again', 'ms'),
      row('rss', 'peak RSS', 'MB'),
    ],
    async run(context) {
      const found = await measure(context, `${prefix}/`)
      return {
        [`${name}-mean`]: { value: found.mean, note: note(found) },
        [`${name}-first`]: { value: await again(context.server, found.first) },
        [`${name}-last`]: { value: await again(context.server, found.last) },
        [`${name}-rss`]: { value: found.peak },
      }
    },
  }
}

export const s3Million = million('s3-million', 'a million keys in 100 folders', 'million')
export const s3Flat = million('s3-flat', 'a million keys in one folder', 'flat-million')

import { lockcycle, lockstorm, propcycle } from './cycles.mjs'
import { get1g, put1g } from './big-body.mjs'
import { memoryOfBodies, memoryOfListing, start } from './fresh.mjs'
import { listings, pfinf } from './listing.mjs'
import { flood, key1k, login1k } from './logins.mjs'
import { locksHeld } from './locks-held.mjs'
import { s3Chunked, s3Get1g, s3Multi1g } from './s3-big.mjs'
import { s3Flat, s3Million } from './s3-million.mjs'
import { s3Get1k, s3List, s3Put1k } from './s3-small.mjs'
import { put1k } from './small-put.mjs'
import { get1k, get1m } from './steady-get.mjs'
import { copy, move, removal } from './tree.mjs'
import { waiting } from './waiting.mjs'

/**
 * @typedef {object} Goal what Postern is to reach; one of the last four
 * @property {string} [peer] which of its kinds; without: postern
 * @property {number} [ratio] to the base of the same round, at least
 * @property {number} [atMost]
 * @property {number} [atLeast]
 * @property {true} [unbroken] no cycle broke
 *
 * @typedef {object} Row one line of the table
 * @property {string} name
 * @property {string} title
 * @property {string} unit
 * @property {true} [lower] less is better
 * @property {Goal[]} [goals]
 *
 * @typedef {object} Outcome
 * @property {number} [value]
 * @property {string} [refused] the status with which the server declines
 * @property {string} [wrong] why the figure does not count
 * @property {string} [note]
 * @property {{ server: number, generator: number, foreign: number }} [cpu]
 *
 * @typedef {object} Context
 * @property {import('../lib/server.mjs').Server} server
 * @property {number} seconds that a steady load lasts
 * @property {(usual: number) => number} count fewer than usual when loads are short
 *
 * @typedef {object} Workload
 * @property {string} name
 * @property {Row[]} rows
 * @property {'s3'} [speaks] what it takes part in with; without: WebDAV
 * @property {string[]} documents that it reads below /data
 * @property {string[]} [folders] that it writes to
 * @property {boolean} [fresh] whether it wants a server just started
 * @property {(context: { count: Context['count'] }) => void} [prepare] makes its files, before the server starts
 * @property {(context: Context) => Promise<Record<string, Outcome>>} run
 */

/** In the order in which they run: new files first, what leaves the server full last. @type {Workload[]} */
export const workloads = [
  get1k,
  get1m,
  get1g,
  put1k,
  put1g,
  ...listings,
  pfinf,
  copy,
  move,
  removal,
  propcycle,
  lockcycle,
  lockstorm,
  waiting,
  locksHeld,
  login1k,
  key1k,
  flood,
  start,
  memoryOfListing,
  memoryOfBodies,
  s3Put1k,
  s3Get1k,
  s3List,
  s3Chunked,
  s3Multi1g,
  s3Get1g,
  s3Million,
  s3Flat,
]

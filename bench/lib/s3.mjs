// Requests of the S3 API, signed with the key of the server that they are for.
import { createHash } from 'node:crypto'
import { expectStatus, send, Wrong } from './http.mjs'
import { queryOf, signedHeaders } from './s3-sign.mjs'

/** The bucket that the loads write to. */
export const bucket = 'bench-bucket'

/** @typedef {import('./server.mjs').Server} Server */

/** @param {string} key */
export const pathOf = (key, query = {}) => {
  const text = queryOf(query)
  return `/${bucket}/${key}${text === '' ? '' : `?${text}`}`
}

const hostOf = ({ port }) => `127.0.0.1:${port}`

/** What signing needs to know. @param {Server} server @param {string} method @param {string} target */
export function unsigned(server, method, target) {
  if (server.key === undefined) throw new Wrong('this server has no S3 key')
  return { method, target, host: hostOf(server), key: server.key }
}

/** The literal hash of a body, as most clients sign it. @param {string | Buffer} body */
export const hashOf = (body) => createHash('sha256').update(body).digest('hex')

/**
 * A step for the generator, signed now.
 * @param {Server} server @param {string} method @param {string} target
 * @param {{ headers?: Record<string, string>, payload?: string, body?: string, file?: string,
 *   piece?: { from: number, length: number } }} [more]
 * @returns {import('./load.mjs').Step}
 */
export function signedStep(server, method, target, { headers, payload, ...sent } = {}) {
  const all = signedHeaders({ ...unsigned(server, method, target), headers, payload })
  return { method, path: target, headers: all, anonymous: true, ...sent }
}

/** One signed request on a connection of its own. @param {Server} server @param {readonly number[]} [expected] */
export async function ask(server, method, target, { headers = {}, body = '', expected = [200] } = {}) {
  const all = signedHeaders({ ...unsigned(server, method, target), headers, payload: hashOf(body) })
  const answer = await send(server, method, target, {}, body, { ...all, Host: hostOf(server) })
  if (!expected.includes(answer.status))
    expectStatus(answer.status, expected, `${method} ${target.slice(0, 80)}: ${answer.body.toString().slice(0, 300)}`)
  return answer
}

export async function makeBucket(server) {
  await ask(server, 'PUT', `/${bucket}`, { expected: [200, 409] })
}

const unescape = (text) =>
  text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&amp;', '&')
const inside = (xml, name) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(xml)?.[1]

/**
 * One page of ListObjectsV2.
 * @param {Server} server @param {string} target
 * @returns {Promise<{ keys: string[], next: string | undefined, milliseconds: number }>}
 */
export async function page(server, target) {
  const { body, milliseconds } = await ask(server, 'GET', target)
  const xml = body.toString()
  const keys = [...xml.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => unescape(key))
  const next = inside(xml, 'NextContinuationToken')
  if (inside(xml, 'IsTruncated') === 'true' && next === undefined) throw new Wrong('a page without a token')
  return { keys, next: next && unescape(next), milliseconds }
}

/** Where the pages of a listing are, as a client finds them one after the other; throws unless it has all keys in order. */
export async function pagesOf(server, prefix, expected) {
  const targets = []
  const keys = []
  for (let token; targets.length === 0 || token !== undefined;) {
    const query = { 'list-type': '2', prefix, ...(token === undefined ? {} : { 'continuation-token': token }) }
    targets.push(pathOf('', query).replace('/?', '?'))
    const { keys: found, next } = await page(server, targets.at(-1))
    keys.push(...found)
    token = next
  }
  if (keys.length !== expected) throw new Wrong(`${keys.length} of ${expected} keys listed`)
  if (keys.some((key, index) => index > 0 && keys[index - 1] >= key)) throw new Wrong('not in order')
  return targets
}

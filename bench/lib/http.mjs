// Single requests, for checks and for operations that are one request.
import { request } from 'node:http'
import { performance } from 'node:perf_hooks'

/** The account that every peer knows. */
export const user = { name: 'admin', password: 'correct horse 42' }
export const authorization = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`

/** An API key that the peers know who read `keys.conf` of PutFS: what it is sent as, and the file. */
export const key = { id: 'PUTFS_bench', secret: 'TfTX2bDmQ5BOVfzqXKqmkyzx' }
export const keyHeaders = { 'X-Api-Key': key.id, 'X-Api-Secret': key.secret }
export const keysFile = `
map "$http_x_api_key:$http_x_api_secret" $key_ok {
  default 0;
  "${key.id}:${key.secret}" 1;
}
map "$http_x_api_key:$request_method:$request_uri" $auth_ok {
  default 0;
  "~^${key.id}:(GET|HEAD):/data/" 1;
}
`

const longest = 120_000

/** A result that must not count. */
export class Wrong extends Error {}
/** The server declines the operation as a whole; that is no mistake. */
export class Refused extends Error {}

const refusals = [403, 405, 501]

/**
 * Throws unless a status is one of those expected.
 * @param {number} status @param {readonly number[]} expected @param {string} what
 */
export function expectStatus(status, expected, what) {
  if (expected.includes(status)) return
  throw refusals.includes(status) ? new Refused(String(status)) : new Wrong(`${what}: ${status}`)
}

/**
 * One request on a connection of its own.
 * @param {{ port: number }} server @param {string} method @param {string} path
 * @param {Record<string, string>} [headers] @param {string} [body]
 * @param {Record<string, string>} [credential] the headers that say who asks; without: the login of all
 * @returns {Promise<{ status: number, headers: import('node:http').IncomingHttpHeaders, body: Buffer, milliseconds: number }>}
 */
export function send({ port }, method, path, headers = {}, body = '', credential = { Authorization: authorization }) {
  const begun = performance.now()
  return new Promise((resolve, reject) => {
    const length = { 'Content-Length': String(Buffer.byteLength(body)) }
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        method,
        path,
        agent: false,
        headers: { ...credential, ...length, ...headers },
      },
      (answer) => {
        const parts = []
        answer.on('data', (part) => parts.push(part))
        answer.on('error', reject)
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            body: Buffer.concat(parts),
            milliseconds: performance.now() - begun,
          }),
        )
      },
    )
    sent.setTimeout(longest, () => sent.destroy(new Wrong(`${method}: no answer in ${longest / 1000} s`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

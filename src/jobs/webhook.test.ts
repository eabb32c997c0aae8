import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createWebhookSender } from './webhook.js'

const secret = Buffer.alloc(32, 7)
const body = { hook: 'files', id: 'msg_1', type: 'files.changed', data: { changes: [{ path: '/ä' }] } }
const { signal } = new AbortController()
const open: Server[] = []

afterEach(() => {
  for (const server of open.splice(0)) server.close()
})

async function receiver(status: number, headers: Record<string, string> = {}) {
  const taken: { readonly headers: IncomingHttpHeaders; readonly text: string }[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      taken.push({ headers: request.headers, text: Buffer.concat(pieces).toString() })
      response.writeHead(status, headers).end('x')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(server)
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/in`
  return { taken, url, send: createWebhookSender([{ name: 'files', url, secret }], () => 1_700_000_000_500) }
}

describe('a webhook', () => {
  it('is signed as Standard Webhooks has it', async () => {
    const { taken, send } = await receiver(204)
    await send(JSON.parse(JSON.stringify(body)), signal)
    const { headers, text } = taken[0] ?? { headers: {}, text: '' }
    expect(headers).toMatchObject({ 'webhook-id': 'msg_1', 'webhook-timestamp': '1700000000', 'content-type': 'application/json' }) // prettier-ignore
    const expected = createHmac('sha256', secret).update(`msg_1.1700000000.${text}`).digest('base64')
    expect(headers['webhook-signature']).toBe(`v1,${expected}`)
    expect(JSON.parse(text)).toEqual({ type: 'files.changed', timestamp: '2023-11-14T22:13:20.000Z', data: body.data })
  })

  it.each([
    [410, {}, { kind: 'invalid' }],
    [500, {}, { kind: 'unavailable' }],
    [429, { 'retry-after': '120' }, { kind: 'unavailable', retryAfterSeconds: 120 }],
    [503, { 'retry-after': '999999' }, { kind: 'unavailable', retryAfterSeconds: 3600 }],
    [401, { 'retry-after': 'soon' }, { kind: 'unavailable' }],
  ])('that meets %i is tried again or not', async (status, headers, failure) => {
    const { send } = await receiver(status, headers)
    await expect(send(body, signal)).rejects.toMatchObject(failure)
  })

  it('goes nowhere else, whatever the receiver says', async () => {
    const other = await receiver(200)
    const { send } = await receiver(307, { location: other.url })
    await expect(send(body, signal)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(other.taken).toEqual([])
  })

  it('that is not configured any more, or is none, is given up', async () => {
    const { send } = await receiver(200)
    await expect(send({ ...body, hook: 'gone' }, signal)).rejects.toMatchObject({ kind: 'invalid' })
    await expect(send({ to: 'x' }, signal)).rejects.toMatchObject({ kind: 'invalid' })
  })

  it('waits for a receiver that is away', async () => {
    const { send } = await receiver(200)
    const [server] = open.splice(0)
    server?.close()
    server?.closeAllConnections()
    await expect(send(body, signal)).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

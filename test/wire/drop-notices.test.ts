import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startServer } from '../harness.js'
import type { Server } from '../harness.js'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const hashOf = (token: string): string => createHash('sha256').update(token).digest('base64')

describe('what arrives at a drop', () => {
  const mails: string[] = []
  const calls: string[] = []
  let smtp: SMTPServer
  let receiver: HttpServer
  let server: Server
  let isAway = false

  beforeAll(async () => {
    smtp = new SMTPServer({
      disabledCommands: ['AUTH', 'STARTTLS'],
      logger: false,
      onConnect: (_session, done) =>
        done(isAway ? Object.assign(new Error('later'), { responseCode: 421 }) : undefined),
      onData(stream, _session, done) {
        const pieces: Buffer[] = []
        stream.on('data', (piece: Buffer) => pieces.push(piece))
        stream.on('end', () => {
          mails.push(Buffer.concat(pieces).toString())
          done()
        })
      },
    })
    smtp.on('error', () => undefined)
    smtp.listen(0, '127.0.0.1')
    await once(smtp.server, 'listening')
    receiver = createServer((request, response) => {
      const pieces: Buffer[] = []
      request.on('data', (piece: Buffer) => pieces.push(piece))
      request.on('end', () => {
        calls.push(Buffer.concat(pieces).toString())
        response.writeHead(204).end()
      })
    })
    receiver.listen(0, '127.0.0.1')
    await once(receiver, 'listening')
    const portOf = (one: { address(): unknown }): number => (one.address() as AddressInfo).port
    server = await startServer({
      config: JSON.stringify({
        publicOrigins: ['https://files.example.org'],
        mail: {
          from: 'Files <files@example.org>',
          smtp: { url: `smtp://127.0.0.1:${portOf(smtp.server)}`, tls: 'never' },
        },
        webhooks: [{ name: 'letters', url: `http://127.0.0.1:${portOf(receiver)}/`, secret: `whsec_${'A'.repeat(43)}=`, below: '/none' }], // prettier-ignore
        drops: [
          { path: '/v1/drop', to: '/inbox', tokens: [{ name: 'phone', sha256: hashOf('a token') }], notify: { mail: ['ann@example.org'], webhook: 'letters' } }, // prettier-ignore
          { path: '/v1/quiet', to: '/inbox', tokens: [{ name: 'phone', sha256: hashOf('a token') }] },
        ],
      }),
    })
    server.useSecret('a token')
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    receiver.close()
    smtp.close(() => undefined)
  })

  const drop = (path: string, body: string) =>
    server.request('POST', path, { as: null, headers: { Authorization: 'Bearer a token' }, body })

  it('is told by mail and by a webhook, and of a drop without these nothing is', async () => {
    expect((await drop('/v1/quiet', 'not told')).status).toBe(202)
    expect((await drop('/v1/drop', 'hello')).status).toBe(202)
    await expect.poll(() => mails.length).toBe(1)
    expect(mails[0]).toMatch(/^To: ann@example\.org\r?$/m)
    expect(mails[0]).toContain('Something arrived at /v1/drop')
    expect(mails[0]?.replaceAll(/=\r?\n/g, '')).toContain(sha256('hello'))
    await expect.poll(() => calls.length).toBe(1)
    expect(JSON.parse(calls[0] ?? '')).toMatchObject({
      type: 'drop.received',
      data: { drop: '/v1/drop', size: 5, sha256: sha256('hello'), sender: 'phone' },
    })
  })

  it('is told of nothing that was refused', async () => {
    const before = mails.length
    expect((await drop('/v1/drop', 'x'.repeat(10_241))).status).toBe(413)
    expect((await server.request('POST', '/v1/drop', { as: null, body: 'x' })).status).toBe(401)
    expect((await drop('/v1/drop', 'again')).status).toBe(202)
    await expect.poll(() => mails.length).toBe(before + 1)
  })

  it('is taken at once while the mail server is away, and told later', async () => {
    const before = mails.length
    isAway = true
    const began = performance.now()
    expect((await drop('/v1/drop', 'later')).status).toBe(202)
    expect(performance.now() - began).toBeLessThan(2000)
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain('could not be sent')
    isAway = false
    await expect.poll(() => mails.length, { timeout: 30_000 }).toBe(before + 1)
  })
})

it.each([
  ['notify: { mail: [ann@example.org] }', 'nothing says how'],
  ['notify: { webhook: none }', 'no webhook has that name'],
  ['notify: { mail: ["ann@example.org, bob@example.org"] }', 'must be like name@example.org'],
  ['notify: {}', 'needs mail or webhook'],
])('a drop that cannot tell is refused: %s', async (notify, message) => {
  await expect(startServer({ config: `drops: [{ path: /v1/drop, to: /in, public: true, ${notify} }]` })).rejects.toThrow(message) // prettier-ignore
})

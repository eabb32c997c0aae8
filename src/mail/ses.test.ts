import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createAwsClient } from '../store/aws/aws-client.js'
import { createCredentials } from '../store/aws/credentials.js'
import { openSes } from './ses.js'

interface Asked {
  readonly method: string | undefined
  readonly url: string | undefined
  readonly authorization: string | undefined
  readonly body: string
}

const mail = { to: 'ann@example.org', subject: 'Grüße', text: 'Hello', html: '<p>Hello</p>' }
const open: { close(): unknown }[] = []

afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

async function serviceThatAnswers(status: number, code: string | undefined) {
  const asked: Asked[] = []
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const { method, url, headers } = request
      asked.push({ method, url, authorization: headers.authorization, body: Buffer.concat(pieces).toString() })
      response.writeHead(status, code === undefined ? {} : { 'x-amzn-errortype': code })
      response.end('{"MessageId":"1"}')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = createAwsClient({
    endpoint: new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
    region: 'eu-west-1',
    service: 'ses',
    title: 'SES',
    codeOf: (_bytes, headers) => headers['x-amzn-errortype']?.toString(),
    credentials: createCredentials({
      settings: { accessKeyId: 'AKID', secretAccessKey: 'secret' },
      region: 'eu-west-1',
    }),
    limits: { attempts: 1 },
  })
  const transport = openSes(client, 'Files <files@example.org>')
  open.push(transport, server)
  return { asked, transport }
}

describe('a message by SES', () => {
  it('is signed and goes out whole', async () => {
    const { asked, transport } = await serviceThatAnswers(200, undefined)
    await transport.send(mail)
    expect(asked[0]).toMatchObject({ method: 'POST', url: '/v2/email/outbound-emails' })
    expect(asked[0]?.authorization).toMatch(/^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-west-1\/ses\/aws4_request/)
    const body = JSON.parse(asked[0]?.body ?? '') as { Destination: object; Content: { Raw: { Data: string } } }
    expect(body.Destination).toEqual({ ToAddresses: ['ann@example.org'] })
    const raw = Buffer.from(body.Content.Raw.Data, 'base64').toString()
    expect(raw).toMatch(/^From: Files <files@example\.org>\r$/m)
    expect(raw).toContain('multipart/alternative')
  })

  it.each([
    [400, 'MessageRejected', 'invalid', 'MessageRejected'],
    [403, 'AccessDeniedException', 'unavailable', 'ses:SendEmail'],
    [429, 'TooManyRequestsException', 'unavailable', ''],
    [500, 'InternalFailure', 'unavailable', ''],
  ])('that meets %i %s is %s', async (status, code, kind, message) => {
    const { transport } = await serviceThatAnswers(status, code)
    await expect(transport.send(mail)).rejects.toMatchObject({
      kind,
      message: expect.stringContaining(message) as string,
    })
  })
})

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface FakeBucket {
  /** `http://127.0.0.1:PORT` */
  readonly endpoint: string
  /** By their keys, without the bucket. */
  readonly objects: ReadonlyMap<string, FakeObject>
  /** All that was asked, `PUT /bucket/key`. */
  readonly asked: readonly string[]
  /** From now on every request is answered so; undefined: as it should be. */
  fail(answer: { readonly status: number; readonly code: string } | undefined): void
  close(): Promise<void>
}

export interface FakeObject {
  readonly bytes: Buffer
  readonly type: string | undefined
}

/** As much of S3 as a letter box needs: PutObject that never replaces anything and verifies a checksum. Everything else is denied, as to a role that may do no more. */
export async function startFakeBucket(name: string): Promise<FakeBucket> {
  const objects = new Map<string, FakeObject>()
  const asked: string[] = []
  let failing: { readonly status: number; readonly code: string } | undefined
  const server = createServer((request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (piece: Buffer) => pieces.push(piece))
    request.on('end', () => {
      const bytes = Buffer.concat(pieces)
      const url = new URL(request.url ?? '', 'http://bucket')
      asked.push(`${request.method ?? ''} ${url.pathname}`)
      const refuse = (status: number, code: string): void => {
        response.writeHead(status, { 'content-type': 'application/xml' })
        response.end(`<Error><Code>${code}</Code></Error>`)
      }
      const { headers } = request
      const key = decodeURIComponent(url.pathname).slice(`/${name}/`.length)
      const digest = createHash('sha256').update(bytes).digest('base64')
      if (failing !== undefined) refuse(failing.status, failing.code)
      else if (request.method !== 'PUT' || !url.pathname.startsWith(`/${name}/`)) refuse(403, 'AccessDenied')
      else if (headers.authorization === undefined && !url.searchParams.has('X-Amz-Signature'))
        refuse(403, 'AccessDenied')
      else if (headers['if-none-match'] !== '*') refuse(403, 'AccessDenied')
      else if (headers['x-amz-checksum-sha256'] !== digest) refuse(400, 'BadDigest')
      else if (objects.has(key)) refuse(412, 'PreconditionFailed')
      else {
        objects.set(key, { bytes, type: headers['content-type'] })
        response.writeHead(200, { etag: '"x"' }).end()
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects,
    asked,
    fail: (answer) => {
      failing = answer
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

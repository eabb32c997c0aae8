import { once } from 'node:events'
import { connect } from 'node:http2'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { basic, startServer } from '../harness.js'

it('reads the body of a PROPFIND over HTTP/2 that announces no length', async () => {
  await using server = await startServer({ args: ['--tls', 'self-signed'] })
  await writeFile(join(server.root, 'f'), 'hello')
  const session = connect(`https://127.0.0.1:${server.port}`, { rejectUnauthorized: false })
  try {
    const stream = session.request({
      ':method': 'PROPFIND',
      ':path': '/f',
      authorization: basic(['admin', server.adminPassword]),
      depth: '0',
    })
    stream.end('<D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/></D:prop></D:propfind>')
    const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
    expect(headers[':status']).toBe(207)
    let text = ''
    for await (const piece of stream) text += String(piece)
    expect(text).toMatch(/getcontentlength>5</)
    expect(text).not.toContain('getlastmodified')
  } finally {
    session.close()
  }
})

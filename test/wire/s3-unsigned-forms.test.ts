import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { namesBelow, startServer } from '../harness.js'

const form =
  '--edge\r\nContent-Disposition: form-data; name="key"\r\n\r\nsent\r\n' +
  '--edge\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--edge--\r\n'

/** As the header says where the page comes from that sends the form; `undefined` is no browser. */
const fromPages = [
  [{ Origin: 'https://elsewhere.example' }, 403],
  [{ Origin: 'null' }, 403],
  [{ 'Sec-Fetch-Site': 'cross-site' }, 403],
  [{ Origin: 'https://listed.example' }, 204],
  [{}, 204],
] as const

it('takes a form that nobody has signed from anybody but the pages of other origins', async () => {
  await using server = await startServer({
    config:
      'anonymous: { grants: ["rw:/open/**"] }\ncors: { origins: [https://listed.example] }\ns3: { hosts: ["127.0.0.1"] }\n',
  })
  await mkdir(join(server.root, 'open'))
  for (const [page, status] of fromPages) {
    const headers = { ...page, 'Content-Type': 'multipart/form-data; boundary=edge' }
    const answer = await server.request('POST', '/open', { as: null, headers, body: form })
    expect(answer.status, JSON.stringify(page)).toBe(status)
    expect(await namesBelow(server.root), JSON.stringify(page)).toEqual(
      status === 204 ? ['open', 'open/sent'] : ['open'],
    )
    await server.request('DELETE', '/open/sent')
  }
})

it('takes no such form where nobody may write without a login', async () => {
  await using server = await startServer({
    config: 'anonymous: { grants: ["r:/open/**"] }\ns3: { hosts: ["127.0.0.1"] }\n',
  })
  await mkdir(join(server.root, 'open'))
  const headers = { 'Content-Type': 'multipart/form-data; boundary=edge' }
  const answer = await server.request('POST', '/open', { as: null, headers, body: form })
  expect([answer.status, /<Code>(.*)<\/Code>/.exec(answer.text)?.[1]]).toEqual([403, 'AccessDenied'])
  expect(await namesBelow(server.root)).toEqual(['open'])
})

import { Script } from 'node:vm'
import { expect, it } from 'vitest'
import { pageScript } from './page-script.js'
import { uploadPage, wantsPage } from './page.js'

it('the script of the page is one', () => {
  expect(() => new Script(pageScript)).not.toThrow()
  // It stands between tags.
  expect(pageScript).not.toMatch(/<\/?script|<!--/i)
})

it('a page is for browsers that look, not for those that send', () => {
  const asks = (method: string, accept?: string): boolean =>
    wantsPage({ method, headers: new Map(accept === undefined ? [] : [['accept', [accept]]]) })
  expect(asks('GET', 'text/html,*/*;q=0.8')).toBe(true)
  expect(asks('HEAD', 'application/xhtml+xml, text/html')).toBe(true)
  for (const accept of [undefined, '*/*', 'application/json', 'text/htmlx']) expect(asks('GET', accept)).toBe(false)
  expect(asks('POST', 'text/html')).toBe(false)
})

it('types of the configuration cannot leave their attribute, and a public drop asks for no token', () => {
  const page = (isPublic: boolean): string => {
    const { body } = uploadPage({ limit: 1536, types: ['image/x&"><script>'], isPublic })
    return body instanceof Uint8Array ? Buffer.from(body).toString() : ''
  }
  expect(page(false)).not.toContain('"><script>')
  expect(page(false)).toMatch(/<input id="token"[^>]* required>/)
  expect(page(true)).not.toMatch(/<input id="token"[^>]* required>/)
  expect(page(true)).toContain('up to 1.5 KiB each')
})

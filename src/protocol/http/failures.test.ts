import { describe, expect, it } from 'vitest'
import { read, requestOf } from '../../../test/http-exchange.js'
import { Failure } from '../../core/failure.js'
import type { FailureDetails, FailureKind } from '../../core/failure.js'
import { refuseHttp } from './failures.js'

async function refused(kind: FailureKind, details: FailureDetails = {}, accept?: string, method = 'GET') {
  const headers = accept === undefined ? {} : { Accept: accept }
  return read(refuseHttp(new Failure(kind, 'What & <why>.', details), requestOf(method, '/x', { headers })))
}

describe('a refusal', () => {
  it('tells nothing of its cause', async () => {
    const cause = new Error('/srv/secret/path')
    expect((await refused('unavailable', { cause })).text).not.toContain('secret')
    expect((await refused('unavailable', { cause }, 'text/html')).text).not.toContain('secret')
  })

  it('is problem+json', async () => {
    const answer = await refused('conflict')
    expect(answer.header('content-type')).toBe('application/problem+json')
    expect(answer.header('content-length')).toBe(String(answer.bytes.length))
    expect(JSON.parse(answer.text)).toEqual({
      type: 'about:blank',
      title: 'Conflict',
      status: 409,
      detail: 'What & <why>.',
    })
  })

  it('is a page for a browser, escaped', async () => {
    const answer = await refused('not-found', {}, 'text/html,*/*;q=0.8')
    expect(answer.text).toContain('What &amp; &lt;why&gt;.')
    expect(answer.header('content-security-policy')).toMatch(/^default-src 'none'/)
  })

  it('has no body for HEAD', async () => {
    expect((await refused('not-found', {}, undefined, 'HEAD')).bytes.length).toBe(0)
  })

  it.each<[FailureKind, FailureDetails, number, string, string]>([
    ['throttled', { retryAfterSeconds: 1.2 }, 429, 'retry-after', '2'],
    ['unavailable', {}, 503, 'retry-after', '5'],
    ['bad-range', { size: 7 }, 416, 'content-range', 'bytes */7'],
    ['method', {}, 405, 'allow', 'GET, HEAD, PUT, DELETE, PATCH, OPTIONS'],
    ['no-space', {}, 507, 'cache-control', 'no-store'],
  ])('of %s %j: %d with %s', async (kind, details, status, name, value) => {
    const answer = await refused(kind, details)
    expect([answer.status, answer.header(name)]).toEqual([status, value])
  })
})

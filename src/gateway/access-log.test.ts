import fc from 'fast-check'
import { pino } from 'pino'
import { describe, expect, it } from 'vitest'
import type { HttpRequest } from '../core/http.js'
import { AccessLog } from './access-log.js'
import type { FinishedExchange } from './access-log.js'

function setUp() {
  const byLogger: string[] = []
  const straight: string[] = []
  const log = pino(
    { base: null, timestamp: false, formatters: { level: (level) => ({ level }) } },
    { write: (line: string) => void byLogger.push(line) },
  )
  const logs = [
    new AccessLog(log),
    new AccessLog(log, { write: (level, members) => void straight.push(`{"level":"${level}",${members}}`) }),
  ]
  return { byLogger, straight, logs }
}

function exchange(request: Partial<HttpRequest>, sent: Partial<FinishedExchange['sent']> = {}): FinishedExchange {
  const whole: HttpRequest = {
    method: 'GET',
    target: '/a?secret=1',
    headers: new Map(),
    body: { async *[Symbol.asyncIterator]() {} },
    listener: 'main',
    origin: { scheme: 'http', authority: 'here' },
    peer: { address: '127.0.0.1' },
    signal: new AbortController().signal,
    ...request,
  }
  return { request: whole, received: 3, sent: { status: 200, bodyBytes: 5, complete: true, ...sent } }
}

describe('the line of a request', () => {
  it('is one line of JSON whatever comes from outside, the same whoever writes it', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 })
    fc.assert(
      fc.property(text, text, text, fc.boolean(), (target, agent, user, complete) => {
        const { byLogger, straight, logs } = setUp()
        const finished = exchange({ target: `/${target}`, headers: new Map([['user-agent', [agent]]]) }, { complete })
        for (const log of logs) {
          log.write(finished, { id: 'id-1', started: 0, surface: 'http', user, failure: 'denied' })
        }
        const [one = '', other = ''] = [byLogger[0]?.trimEnd(), straight[0]]
        expect(other).not.toMatch(/[\n\r\u2028\u2029\u0000-\u001f]/)
        const { ms, ...parsed } = JSON.parse(other) as Record<string, unknown>
        expect(ms).toBeTypeOf('number')
        expect(parsed).toEqual({ ...(JSON.parse(one) as object), ms: undefined })
      }),
      { numRuns: 200 },
    )
  })

  it('holds no query, and says what went wrong', () => {
    const { straight, logs } = setUp()
    logs[1]?.write(exchange({}, { status: 500, complete: false, error: new Error('broken') }), undefined)
    expect(straight[0]).not.toContain('secret')
    expect(JSON.parse(straight[0] ?? '')).toEqual({
      level: 'warn',
      method: 'GET',
      path: '/a',
      status: 500,
      received: 3,
      sent: 5,
      address: '127.0.0.1',
      listener: 'main',
      incomplete: true,
      err: expect.objectContaining({ type: 'Error', message: 'broken' }) as object,
      msg: 'GET /a 500',
    })
  })
})

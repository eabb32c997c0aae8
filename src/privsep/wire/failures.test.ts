import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { decodeFailure, encodeFailure } from './failures.js'

/** What arrives of it. */
function carried(error: unknown): Failure {
  return decodeFailure(JSON.parse(JSON.stringify(encodeFailure(error))))
}

describe('a failure of the other side', () => {
  it.each([undefined, null, 3, 'text', [], {}, { kind: 'toString' }, { kind: '__proto__' }, { kind: ['denied'] }])(
    'is unavailable where it is no failure: %j',
    (value) => {
      expect(decodeFailure(value)).toMatchObject({ kind: 'unavailable' })
    },
  )

  it('loses what could become something else in an answer', () => {
    const failure = decodeFailure({
      kind: 'denied',
      message: `a\r\nSet-Cookie: b\u0000\u202e${'x'.repeat(5000)}`,
      reason: 'a/><evil',
      path: '/a/../b',
      retryAfterSeconds: -1,
      size: 'many',
      challenges: ['Basic\r\nSet-Cookie: a=b'],
    })
    expect(failure).toMatchObject({ kind: 'denied', reason: undefined, path: undefined, size: undefined })
    expect(failure).toMatchObject({ retryAfterSeconds: undefined, challenges: undefined })
    expect(failure.message).toMatch(/^a {2}Set-Cookie: b {2}x+$/)
    expect(failure.message.length).toBeLessThanOrEqual(1000)
  })

  it('is not made of a fault, of which nothing is said', () => {
    const failure = carried(new TypeError('the secret is 42'))
    expect(failure.kind).toBe('unavailable')
    expect(JSON.stringify(failure) + failure.message).not.toContain('42')
  })

  it('crosses with all that it says, but not with what lies beneath', () => {
    const details = {
      reason: 'lock-token-submitted',
      path: toPath('/a/ü'),
      retryAfterSeconds: 3,
      size: 2 ** 40,
      challenges: ['Basic realm="é"'.normalize().replace('é', 'e')],
    } as const
    const failure = carried(new Failure('locked', 'It is locked.', { ...details, cause: 'a secret' }))
    expect(failure).toMatchObject({ kind: 'locked', message: 'It is locked.', ...details })
    expect(failure.cause).toBeUndefined()
  })

  it('can be anything, and is a failure with printable text', () => {
    const some = fc.anything({ maxDepth: 1 })
    const fields = { kind: fc.constantFrom('denied', 'x'), message: fc.string({ unit: 'binary' }) }
    const others = { reason: some, path: some, size: some, challenges: some }
    fc.assert(
      fc.property(fc.oneof(fc.anything({ maxDepth: 1 }), fc.record({ ...fields, ...others })), (value) => {
        const failure = decodeFailure(value)
        expect(failure.message).toMatch(/^\P{C}+$/u)
        expect(failure.kind).toMatch(/^(?:denied|unavailable)$/)
      }),
    )
  })
})

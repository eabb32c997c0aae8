import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { tokensDirectory } from '../../src/auth/directory/tokens.js'
import type { KnownToken } from '../../src/auth/directory/tokens.js'
import type { Directory } from '../../src/auth/identity.js'
import { readTokenHash } from '../../src/auth/token-hash.js'
import { ManualClock } from '../../src/core/clock.js'
import { directoryContract } from './directory.js'

const sha256 = (text: string): Uint8Array => createHash('sha256').update(text).digest()
const another = 'a change of the configuration opens another source'

directoryContract({
  name: 'tokens',
  kinds: ['bearer'],
  cannot: { change: another, disable: another, remove: another, breakDown: 'nothing is asked that could be down' },
  async open() {
    const clock = new ManualClock()
    const tokens: KnownToken[] = []
    const current = (): Directory => tokensDirectory({ name: 'tokens', tokens, clock })
    return {
      directory: { name: 'tokens', accepts: current().accepts, check: (...asked) => current().check(...asked) },
      async hold(_kind, name) {
        const token = randomBytes(64).toString('base64url')
        tokens.push({ name, hash: sha256(token), grants: ['create:/inbox/{user}/**'] })
        return { right: { kind: 'bearer', token }, name }
      },
    }
  },
})

describe('a configured token', () => {
  const check = (tokens: readonly KnownToken[], clock: ManualClock, token: string) =>
    tokensDirectory({ name: 'tokens', tokens, clock }).check({ kind: 'bearer', token }, { method: 'GET', target: '/' })

  it('ends at its time, and is not to be remembered beyond', async () => {
    const clock = new ManualClock()
    const expires = clock.now() + 60_000
    const tokens = [{ name: 'a', hash: sha256('secret'), grants: [], expires }]
    expect(await check(tokens, clock, 'secret')).toMatchObject({ kind: 'identity', until: expires })
    clock.advanceSeconds(60)
    expect(await check(tokens, clock, 'secret')).toEqual({ kind: 'refused', why: 'expired' })
  })

  it('makes no source whose grants are not right', () => {
    const make = (name: string, grant: string) => () =>
      tokensDirectory({
        name: 'tokens',
        tokens: [{ name, hash: sha256('x'), grants: [grant] }],
        clock: new ManualClock(),
      })
    expect(make('a', 'all:/')).toThrow(expect.objectContaining({ kind: 'invalid' }))
    expect(make('*', 'rw:/{user}/**')).toThrow(expect.objectContaining({ kind: 'denied' }))
  })
})

describe('a hash in a configuration', () => {
  const base64 = Buffer.from(sha256('x')).toString('base64')
  const hex = Buffer.from(sha256('x')).toString('hex')

  it('is read as base64 and as hex', () => {
    expect(readTokenHash(base64)).toEqual(sha256('x'))
    expect(readTokenHash(hex)).toEqual(sha256('x'))
  })

  it.each(['', 'x', hex.toUpperCase(), hex.slice(1), `${hex}0`, base64.slice(0, -1), `${base64}=`, ` ${base64}`, base64.replace(/.=$/, 'B='), Buffer.from(sha256('x')).toString('base64url').replace(/./, '-')])('is not %j', (text) => {
    expect(readTokenHash(text)).toBeUndefined()
  }) // prettier-ignore
})

import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { createCredentials } from './credentials.js'
import type { Credentials, ExpiringCredentials } from './credentials.js'

/** A source that counts how often it is asked, and answers when it is told to. */
class Source {
  asked = 0
  answer: () => Promise<ExpiringCredentials>

  constructor(clock: ManualClock) {
    this.answer = async () => ({
      accessKeyId: `key ${this.asked}`,
      secretAccessKey: 'secret',
      expires: clock.now() + 3600_000,
    })
  }

  readonly fetch = (): Promise<ExpiringCredentials> => {
    this.asked += 1
    return this.answer()
  }
}

function renewed(): { readonly credentials: Credentials; readonly source: Source; readonly clock: ManualClock } {
  const clock = new ManualClock()
  const source = new Source(clock)
  const credentials = createCredentials({ settings: {}, region: 'us-east-1', clock, fetch: source.fetch })
  return { credentials, source, clock }
}

const idOf = async (credentials: Credentials): Promise<string | undefined> => (await credentials.current())?.accessKeyId

describe('credentials', () => {
  it('that cannot be had say what to do, once for all, and are asked for again after a while', async () => {
    const { credentials, source, clock } = renewed()
    source.answer = () => Promise.reject(new Error('secret of the metadata service'))
    const answers = await Promise.all([1, 2, 3].map(() => credentials.current().catch((error: unknown) => error)))
    for (const answer of answers) {
      expect(answer).toMatchObject({ kind: 'unavailable', retryAfterSeconds: 5 })
      expect((answer as Failure).message).toMatch(/^There are no AWS credentials: give this machine a role/)
    }
    await expect(credentials.current()).rejects.toBeInstanceOf(Failure)
    expect(source.asked).toBe(1)
    source.answer = new Source(clock).answer
    clock.advanceSeconds(3)
    expect(await idOf(credentials)).toBe('key 0')
    expect(source.asked).toBe(2)
  })

  it('are fetched once for all who wait', async () => {
    const { credentials, source } = renewed()
    expect(await Promise.all([1, 2, 3].map(() => idOf(credentials)))).toEqual(['key 1', 'key 1', 'key 1'])
    expect(await idOf(credentials)).toBe('key 1')
    expect(source.asked).toBe(1)
  })

  it('are renewed before they expire, while the old ones are still good', async () => {
    const { credentials, source, clock } = renewed()
    await credentials.current()
    clock.advanceSeconds(3600 - 200)
    let answer: (value: ExpiringCredentials) => void = () => undefined
    source.answer = () => new Promise((resolve) => (answer = resolve))
    expect(await idOf(credentials)).toBe('key 1')
    expect(await idOf(credentials)).toBe('key 1')
    expect(source.asked).toBe(2)
    answer({ accessKeyId: 'next', secretAccessKey: 'secret', expires: clock.now() + 3600_000 })
    await expect.poll(() => idOf(credentials)).toBe('next')
    expect(source.asked).toBe(2)
  })

  it('are used on where a renewal fails, but never once they have expired', async () => {
    const { credentials, source, clock } = renewed()
    await credentials.current()
    source.answer = () => Promise.reject(new Error('down'))
    clock.advanceSeconds(3600 - 200)
    expect(await idOf(credentials)).toBe('key 1')
    clock.advanceSeconds(175)
    await expect(credentials.current()).rejects.toMatchObject({ kind: 'unavailable' })
    clock.advanceSeconds(100)
    await expect(credentials.current()).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('are fetched anew where the service holds them for expired, once for all who hear it', async () => {
    const { credentials, source } = renewed()
    const first = await credentials.current()
    credentials.expired(first!)
    expect(await idOf(credentials)).toBe('key 2')
    credentials.expired(first!)
    expect(await idOf(credentials)).toBe('key 2')
    expect(source.asked).toBe(2)
  })

  it('may be none, or fixed ones', async () => {
    const region = 'us-east-1'
    const none = createCredentials({ settings: { anonymous: true, accessKeyId: 'a', secretAccessKey: 'b' }, region })
    expect(await none.current()).toBeUndefined()
    const fixed = { accessKeyId: 'a', secretAccessKey: 'b', sessionToken: 'c' }
    const found = await createCredentials({ settings: fixed, region }).current()
    expect(found).toEqual(fixed)
  })

  it('come from the SDK, which asks no files and no metadata where that is not wanted', async () => {
    const settings = { disableConfigLoad: true, disableEc2Metadata: true }
    const credentials = createCredentials({ settings, region: 'us-east-1' })
    await expect(credentials.current()).rejects.toMatchObject({ kind: 'unavailable' })
  })
})

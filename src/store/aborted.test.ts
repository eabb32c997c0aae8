import { describe, expect, it } from 'vitest'
import { Failure } from '../core/failure.js'
import { throwIfAborted, untilAborted } from './aborted.js'

function counted(): { body: AsyncGenerator<Uint8Array, void>; closed: () => boolean } {
  let closed = false
  async function* endless(): AsyncGenerator<Uint8Array, void> {
    try {
      for (;;) yield new Uint8Array(1)
    } finally {
      closed = true
    }
  }
  return { body: endless(), closed: () => closed }
}

describe('aborted signals', () => {
  it('throw `incomplete`, or a reason that is a Failure itself', () => {
    expect(() => {
      throwIfAborted(AbortSignal.abort('why'))
    }).toThrow(expect.objectContaining({ kind: 'incomplete', cause: 'why' }))
    const reason = new Failure('timeout', 'too slow')
    expect(() => {
      throwIfAborted(AbortSignal.abort(reason))
    }).toThrow(reason)
    throwIfAborted(new AbortController().signal)
    throwIfAborted(undefined)
  })

  it.each([
    ['with a signal', new AbortController().signal],
    ['without one', undefined],
  ])('a reader that stops early closes the body, %s', async (_, signal) => {
    const { body, closed } = counted()
    for await (const chunk of untilAborted(body, signal)) {
      expect(chunk.length).toBe(1)
      break
    }
    expect(closed()).toBe(true)
  })

  it('closes the body between two chunks, and gives no more', async () => {
    const { body, closed } = counted()
    const controller = new AbortController()
    const read = async (): Promise<void> => {
      for await (const chunk of untilAborted(body, controller.signal)) if (chunk.length > 0) controller.abort()
    }
    await expect(read()).rejects.toMatchObject({ kind: 'incomplete' })
    expect(closed()).toBe(true)
  })

  it('does not wait for a chunk that never comes, nor listen on afterwards', async () => {
    const controller = new AbortController()
    const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) }
    const read = untilAborted(silent, controller.signal).next()
    controller.abort('gone')
    await expect(read).rejects.toMatchObject({ kind: 'incomplete', cause: 'gone' })
  })
})

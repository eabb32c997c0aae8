import { describe, expect, it } from 'vitest'
import { Failure } from '../../core/failure.js'
import { PartBuffers } from './part-buffers.js'

/** Whether the promise has come to something by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  const open = Symbol('open')
  const first = await Promise.race([
    promise.catch(() => undefined),
    new Promise((resolve) => setImmediate(resolve, open)),
  ])
  return first !== open
}

describe('PartBuffers', () => {
  it('lets nobody have more than there is, and serves who came first', async () => {
    const buffers = new PartBuffers(10)
    const release = await buffers.take(6)
    const large = buffers.take(5)
    const small = buffers.take(1)
    expect([await isSettled(large), await isSettled(small)]).toEqual([false, false])
    release()
    release()
    ;(await large)()
    ;(await small)()
    const all = await buffers.take(10)
    expect(await isSettled(buffers.take(1))).toBe(false)
    all()
  })

  it('gives all there is to a wish for more', async () => {
    const buffers = new PartBuffers(10)
    const one = await buffers.take(1)
    const all = buffers.take(1000)
    expect(await isSettled(all)).toBe(false)
    one()
    const release = await all
    expect(await isSettled(buffers.take(1))).toBe(false)
    release()
  })

  it('forgets who gives up waiting, and goes on with those behind', async () => {
    const buffers = new PartBuffers(10)
    const release = await buffers.take(6)
    const controller = new AbortController()
    const large = buffers.take(10, controller.signal)
    const small = buffers.take(4)
    expect(await isSettled(small)).toBe(false)
    controller.abort('gone')
    await expect(large).rejects.toMatchObject({ kind: 'incomplete', cause: 'gone' })
    expect(await isSettled(small)).toBe(true)
    release()
    ;(await small)()
    await expect(buffers.take(10)).resolves.toBeTypeOf('function')
  })

  it('takes nothing for a signal that has aborted already, nor afterwards', async () => {
    const buffers = new PartBuffers(10)
    const reason = new Failure('timeout', 'too slow')
    await expect(buffers.take(10, AbortSignal.abort(reason))).rejects.toBe(reason)
    const controller = new AbortController()
    const release = await buffers.take(10, controller.signal)
    controller.abort()
    expect(await isSettled(buffers.take(1))).toBe(false)
    release()
  })
})

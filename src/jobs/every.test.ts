import { expect, it } from 'vitest'
import { every } from './every.js'

it('goes on after work that fails, one at a time, until it is closed', async () => {
  let [running, most, done] = [0, 0, 0]
  const errors: unknown[] = []
  const enough = signal()
  const recurring = every(
    async () => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      if (++done === 3) enough.resolve(undefined)
      if (done === 1) throw new Error('once')
    },
    { first: 0, pause: 0, onError: (error) => errors.push(error) },
  )
  await enough.promise
  await recurring.close()
  const before = done
  await new Promise((resolve) => setTimeout(resolve, 5))
  expect(done).toBe(before)
  expect([most, errors]).toEqual([1, [new Error('once')]])
})

it('waits for what is running when it is closed', async () => {
  const begun = signal()
  const release = signal()
  let ended = false
  const recurring = every(
    async () => {
      begun.resolve(undefined)
      await release.promise
      ended = true
    },
    { first: 0, pause: 0, onError: () => undefined },
  )
  await begun.promise
  const closed = recurring.close()
  release.resolve(undefined)
  await closed
  expect(ended).toBe(true)
})

function signal(): { readonly promise: Promise<undefined>; readonly resolve: (value: undefined) => void } {
  let resolve: (value: undefined) => void = () => undefined
  const promise = new Promise<undefined>((done) => (resolve = done))
  return { promise, resolve }
}

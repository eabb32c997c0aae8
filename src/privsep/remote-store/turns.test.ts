import { expect, it } from 'vitest'
import { Turns } from './turns.js'

it('does one thing after the other, and says what became of each', async () => {
  const turns = new Turns()
  const order: string[] = []
  const slow = turns.take(async () => {
    order.push('slow begins')
    await new Promise((resolve) => setImmediate(resolve))
    order.push('slow ends')
    return 'slow'
  })
  const failing = turns.take(() => Promise.reject(new Error('no')))
  const next = turns.take(() => {
    order.push('next')
    return 'next'
  })
  await expect(failing).rejects.toThrow('no')
  expect(await Promise.all([slow, next])).toEqual(['slow', 'next'])
  expect(order).toEqual(['slow begins', 'slow ends', 'next'])
})

it('leaves half of the time to others, however much there is to do', async () => {
  const turns = new Turns()
  const busyFor = (milliseconds: number): void => {
    for (const end = performance.now() + milliseconds; performance.now() < end;);
  }
  let others = 0
  let isOver = false
  const other = (): void => {
    others += 1
    if (!isOver) setImmediate(other)
  }
  other()
  const begun = performance.now()
  await Promise.all(Array.from({ length: 10 }, () => turns.take(() => busyFor(5))))
  isOver = true
  expect(performance.now() - begun).toBeGreaterThan(90)
  expect(others).toBeGreaterThan(10)
})

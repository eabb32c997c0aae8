import { describe, expect, it } from 'vitest'
import { TurnEnd } from './turn.js'

describe('TurnEnd', () => {
  it('holds what waits until the turn of the event loop is over', async () => {
    const turn = new TurnEnd()
    const order: string[] = []
    const waiting = [1, 2].map(async (number) => {
      await turn.wait()
      order.push(`answer ${number}`)
    })
    await Promise.resolve()
    order.push('requests')
    await Promise.all(waiting)
    expect(order).toEqual(['requests', 'answer 1', 'answer 2'])
  })

  it('lets go at once where many wait, and holds the next ones again', async () => {
    const turn = new TurnEnd()
    let sent = 0
    const wait = (): Promise<void> =>
      turn.wait().then(() => {
        sent += 1
      })
    const crowd = Array.from({ length: 40 }, wait)
    await Promise.resolve()
    await Promise.resolve()
    expect(sent).toBe(32)
    await Promise.all(crowd)
    expect(sent).toBe(40)
    await wait()
    expect(sent).toBe(41)
  })
})

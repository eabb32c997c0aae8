import { describe, expect, it, vi } from 'vitest'
import { socketPair } from '../../../test/privsep-door.js'
import { openLink } from '../wire/link.js'
import type { Link } from '../wire/link.js'
import { Reconnecting } from './reconnecting.js'

/** A process that answers `ping`, and may be away. */
function mortal() {
  const far: Link[] = []
  let away = false
  return {
    away: (value: boolean) => (away = value),
    die: () => far.at(-1)?.close(),
    lives: () => far.length,
    connect: async (): Promise<Link> => {
      if (away) throw new Error('nobody is there')
      const [near, other] = await socketPair()
      const table = { ping: { maxBytes: 100, handle: () => ({ head: { life: far.length } }) } }
      far.push(openLink(other, { table, maxAnswerBytes: 100, maxAtOnce: 10 }))
      return openLink(near, { table: {}, maxAnswerBytes: 1000, maxAtOnce: 1 })
    },
  }
}

describe('a process that is not there', () => {
  it('when it is first needed is told at once', async () => {
    const process = mortal()
    process.away(true)
    const options = { connect: process.connect, onLost: () => undefined, onBack: () => undefined }
    await expect(Reconnecting.open(options)).rejects.toThrow('nobody is there')
  })

  it('is unavailable with a time to wait, tried again, and asked when it is back', async () => {
    const process = mortal()
    const onLost = vi.fn()
    let onBack: () => void = () => undefined
    const isBack = new Promise<void>((resolve) => (onBack = resolve))
    const link = await Reconnecting.open({ connect: process.connect, onLost, onBack: () => onBack() })
    expect((await link.ask('ping')).head).toEqual({ life: 1 })
    process.away(true)
    process.die()
    await vi.waitFor(() => expect(onLost).toHaveBeenCalledOnce())
    await expect(link.ask('ping')).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 1 })
    process.away(false)
    await isBack
    expect((await link.ask('ping')).head).toEqual({ life: 2 })
    link.close()
    expect(process.lives()).toBe(2)
  })
})

it('one that is closed stays closed', async () => {
  const process = mortal()
  const onLost = vi.fn()
  const link = await Reconnecting.open({ connect: process.connect, onLost, onBack: () => undefined })
  link.close()
  await expect(link.ask('ping')).rejects.toMatchObject({ kind: 'unavailable' })
  expect(onLost).not.toHaveBeenCalled()
})

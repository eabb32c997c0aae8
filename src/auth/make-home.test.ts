import { expect, it } from 'vitest'
import { compileGrants } from './grant.js'
import { makeHome } from './make-home.js'
import { catalogLocks } from '../catalog/catalog-locks.js'
import { openMemoryCatalog } from '../catalog/memory.js'
import { systemClock } from '../core/clock.js'
import { toPath } from '../core/path.js'
import { openMemoryStore } from '../store/memory.js'

const home = toPath('/homes/ann')

it('a lock that would have kept a home from being made is told only when the making is over', async () => {
  const store = openMemoryStore()
  await store.makeDirectory(toPath('/homes'))
  const locks = catalogLocks(openMemoryCatalog({ clock: systemClock }), systemClock)
  const order: string[] = []
  let goOn: () => void = () => undefined
  const held = new Promise<void>((resolve) => (goOn = resolve))
  let reach: () => void = () => undefined
  const reached = new Promise<void>((resolve) => (reach = resolve))
  const slow = Object.assign(Object.create(store) as typeof store, {
    stat: store.stat.bind(store),
    makeDirectory: async (path: typeof home) => {
      reach()
      await held
      const made = await store.makeDirectory(path)
      order.push('made')
      return made
    },
  })
  const making = makeHome(home, {
    store: slow,
    locks,
    permit: compileGrants(['rw:/**'], 'test'),
    holder: { principal: 'ann', tokens: new Set() },
  })
  await reached
  const taken = locks
    .take({ path: toPath('/homes'), depth: 'infinity', scope: 'exclusive', principal: 'bob', timeoutSeconds: 60 })
    .then(() => order.push('locked'))
  await new Promise((resolve) => setImmediate(resolve))
  goOn()
  await Promise.all([making, taken])
  expect(order).toEqual(['made', 'locked'])
})

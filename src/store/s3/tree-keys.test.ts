import { describe, expect, it } from 'vitest'
import { p, put, textOf } from '../../../test/contract/store/subject.js'
import { openMemoryS3 } from '../../../test/memory-s3.js'
import { openS3Store } from '../s3.js'
import type { S3Service } from './service.js'
import { localTurns } from './turns.js'

/** The same service, with something done each time when `/d` was listed to remove what has its copy in `/e`. */
function afterLooks(service: S3Service, deed: (count: number) => Promise<unknown>): S3Service {
  let count = 0
  return Object.assign(Object.create(service) as S3Service, {
    list: async (...given: Parameters<S3Service['list']>) => {
      const page = await service.list(...given)
      const [{ prefix, delimiter, max }] = given
      const isLast = prefix === 'd/' && delimiter === undefined && max === undefined
      if (isLast && (await service.head('e/f')) !== undefined) await deed(++count)
      return page
    },
  })
}

describe.each([
  ['judges all conditions', {}],
  ['judges those of writes only', { conditionalComplete: false, conditionalCopy: false, conditionalRemove: false }],
] as const)('while a tree moves over a service that %s', (_, abilities) => {
  async function moved(deed: (other: Awaited<ReturnType<typeof openS3Store>>, count: number) => Promise<unknown>) {
    const service = openMemoryS3(abilities)
    const turns = localTurns()
    const other = await openS3Store({ service: service.again(), turns })
    const store = await openS3Store({ service: afterLooks(service, (count) => deed(other, count)), turns })
    await store.makeDirectory(p('/d'))
    await put(store, '/d/f', 'older')
    await put(store, '/d/g', 'g')
    await store.moveTree(p('/d'), p('/e'))
    return store
  }

  it('a file that is written after the last look at it is moved, and not removed', async () => {
    const store = await moved((other) => put(other, '/d/f', 'newer'))
    expect(await textOf(store, '/e/f')).toBe('newer')
    expect(await textOf(store, '/e/g')).toBe('g')
    expect(await store.stat(p('/d'))).toBeUndefined()
    await store.close()
  })

  it('a file that goes after the last look at it keeps nothing of the move back', async () => {
    const store = await moved((other) => other.remove(p('/d/f')))
    expect(await store.stat(p('/d'))).toBeUndefined()
    await store.close()
  })
})

it('a file that is written again before each removal stays where it is written, with its newest bytes', async () => {
  const service = openMemoryS3()
  let count = 0
  const writing = Object.assign(Object.create(service) as S3Service, {
    removeMany: async (...given: Parameters<S3Service['removeMany']>) => {
      await service.put('d/f', [Buffer.from(`newer ${++count}`)])
      return service.removeMany(...given)
    },
  })
  const store = await openS3Store({ service: writing })
  await store.makeDirectory(p('/d'))
  await put(store, '/d/f', 'older')
  await expect(store.moveTree(p('/d'), p('/e'))).rejects.toMatchObject({ kind: 'denied' })
  expect(count).toBeLessThan(20)
  expect(await textOf(store, '/d/f')).toBe(`newer ${count}`)
  await store.close()
})

import { describe, expect, it } from 'vitest'
import type { S3Abilities } from '../../src/store/s3/service.js'
import { localTurns } from '../../src/store/s3/turns.js'
import { openS3Store } from '../../src/store/s3.js'
import type { Store } from '../../src/store/store.js'
import { openMemoryS3 } from '../memory-s3.js'
import { ableTo, bytesOf, failureOf, p, pathsBelow, put, textOf, body } from './store/subject.js'

const none: Partial<S3Abilities> = {
  conditionalPut: false,
  conditionalComplete: false,
  conditionalCopy: false,
  conditionalRemove: false,
}
const large = Buffer.alloc(9 * 2 ** 20, 'large ')

describe.each([
  ['that judges all conditions', {}],
  ['that judges those of writes only, as Ceph does', { ...none, conditionalPut: true }],
  ['that judges none', none],
] as const)('many instances over one S3 service %s', (_, abilities) => {
  async function open(count: number): Promise<readonly Store[]> {
    const service = openMemoryS3(abilities)
    const turns = localTurns()
    return await Promise.all(Array.from({ length: count }, () => openS3Store({ service: service.again(), turns })))
  }

  const of = (stores: readonly Store[], index: number): Store => stores[index % stores.length]!

  it('count no change twice and lose none that each build upon the last one', async () => {
    const stores = await open(3)
    const [first] = stores
    await put(first!, '/f', '')
    let added = 0
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const store = of(stores, index)
        for (let round = 0; round < 5; round++) {
          const { size, etag } = (await store.stat(p('/f')))!
          const own = { from: p('/f'), range: { start: 0, end: size } }
          const adding = ableTo(store, 'assemble').assemble(p('/f'), [own, { body: body('+') }], { ifMatch: [etag] })
          const kind = await failureOf(adding)
          expect(['none', 'precondition', 'unavailable']).toContain(kind)
          if (kind === 'none') added++
        }
      }),
    )
    expect(added).toBeGreaterThan(0)
    expect(await textOf(first!, '/f')).toBe('+'.repeat(added))
  })

  it('let one of many writers of a new name win, be they small, in parts or copies', async () => {
    const stores = await open(3)
    for (let round = 0; round < 2; round++) {
      const path = p(`/new${round}`)
      await Promise.all(stores.map((store, index) => put(store, `/from${index}`)))
      const ways: readonly ((store: Store, index: number) => Promise<unknown>)[] = [
        (store) => store.write(path, body('small'), { ifNoneMatch: '*' }),
        (store) => store.write(path, body(large), { ifNoneMatch: '*' }),
        (store, index) => store.copy(p(`/from${index % 3}`), path, { overwrite: false }),
      ]
      const kinds = await Promise.all(
        Array.from({ length: 9 }, (_, index) => failureOf(ways[index % 3]!(of(stores, index), index))),
      )
      expect(kinds.filter((kind) => kind === 'none')).toHaveLength(1)
      expect(new Set(kinds)).toEqual(new Set(['none', 'precondition', 'exists']))
    }
  })

  it('move a file once', async () => {
    const stores = await open(3)
    for (let round = 0; round < 10; round++) {
      await put(stores[0]!, '/from', 'content')
      const kinds = await Promise.all(
        ['/a', '/b', '/c', '/a'].map((to, index) =>
          failureOf(of(stores, index).move(p('/from'), p(to), { overwrite: true })),
        ),
      )
      expect(kinds.sort()).toEqual(['none', 'not-found', 'not-found', 'not-found'])
      const left = await pathsBelow(stores[0]!, '/')
      expect(left).toHaveLength(1)
      expect(await textOf(stores[0]!, left[0]!)).toBe('content')
      await stores[0]!.remove(left[0]!)
    }
  })

  it('lose no file of those that are moved in circles', async () => {
    const stores = await open(3)
    const names = ['/a', '/b', '/c']
    for (let round = 0; round < 30; round++) {
      await put(stores[0]!, names[round % 3]!, 'token')
      await Promise.all(
        Array.from({ length: 6 }, (_, index) => {
          const [from, to] = [names[index % 3]!, names[(index + 1 + (index % 2)) % 3]!]
          return failureOf(of(stores, index).move(p(from), p(to), { overwrite: true }))
        }),
      )
      const left = await pathsBelow(stores[0]!, '/')
      expect(left.length).toBeGreaterThan(0)
      expect(await textOf(stores[0]!, left[0]!)).toBe('token')
    }
  })

  it('lose nothing that is written while the file is moved', async () => {
    const stores = await open(2)
    for (let round = 0; round < 20; round++) {
      await put(stores[0]!, '/from', 'old')
      const [moved, written] = await Promise.all([
        failureOf(stores[0]!.move(p('/from'), p('/to'), { overwrite: true })),
        failureOf(put(stores[1]!, '/from', `new ${round}`)),
      ])
      expect([moved, written]).toEqual(['none', 'none'])
      const texts = await Promise.all((await pathsBelow(stores[0]!, '/')).map((path) => textOf(stores[0]!, path)))
      expect(texts).toContain(`new ${round}`)
      for (const path of await pathsBelow(stores[0]!, '/')) await stores[0]!.remove(path)
    }
  })

  it('lose no file whose folder is removed meanwhile', async () => {
    const stores = await open(2)
    for (let round = 0; round < 30; round++) {
      await stores[0]!.makeDirectory(p('/d'))
      const [written, removed] = await Promise.all([
        failureOf(stores[0]!.write(p('/d/f'), body('kept'))),
        failureOf(stores[1]!.remove(p('/d'))),
      ])
      expect(['none not-empty', 'no-parent none', 'none none']).toContain(`${written} ${removed}`)
      expect((await stores[0]!.stat(p('/d/f'))) !== undefined).toBe(written === 'none')
      if (written !== 'none') continue
      expect(await textOf(stores[1]!, '/d/f')).toBe('kept')
      expect(await pathsBelow(stores[1]!, '/', { depth: 'infinity' })).toEqual(['/d', '/d/f'])
      await stores[0]!.remove(p('/d/f'))
      await stores[0]!.remove(p('/d'))
    }
  })

  it('make one file of a room', async () => {
    const stores = await open(3)
    const { parts } = ableTo(stores[0]!, 'parts')
    for (let round = 0; round < 2; round++) {
      const room = await parts.open(p('/f'))
      const stored = [await parts.put(room, 1, body(large)), await parts.put(room, 2, body('end'))]
      const kinds = await Promise.all(
        stores.map((store, index) => failureOf(ableTo(store, 'parts').parts.become(room, p(`/${index}`), stored))),
      )
      expect(kinds.sort()).toEqual(['none', 'not-found', 'not-found'])
      const left = await pathsBelow(stores[0]!, '/')
      expect(left).toHaveLength(1)
      const all = await bytesOf(await stores[0]!.open(left[0]!))
      expect(all.equals(Buffer.concat([large, Buffer.from('end')]))).toBe(true)
      await stores[0]!.remove(left[0]!)
    }
  })
})

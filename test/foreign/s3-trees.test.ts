import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isFailure } from '../../src/core/failure.js'
import type { S3Context } from '../../src/store/s3/context.js'
import { openS3Service } from '../../src/store/s3/http-service.js'
import { finishMoves, noteMove, settleBelow } from '../../src/store/s3/move-journal.js'
import { KnownDirectories, localChanges } from '../../src/store/s3/known-directories.js'
import { PartBuffers } from '../../src/store/s3/part-buffers.js'
import type { S3Service } from '../../src/store/s3/service.js'
import { parseS3Url } from '../../src/store/s3/settings.js'
import { sweep } from '../../src/store/s3/sweep.js'
import { copyTree, moveTree, removeTree } from '../../src/store/s3/trees.js'
import { localTurns } from '../../src/store/s3/turns.js'
import { openS3Store } from '../../src/store/s3.js'
import * as tree from '../../src/store/tree.js'
import { cephNeeds, freshBucket, startCeph, type Ceph } from '../ceph.js'
import { failureOf, p } from '../contract/store/subject.js'
import { mortal, type Death } from '../mortal-service.js'
import { describeForeign } from './tools.js'

/** Keys and contents of a directory: files, markers, one implied directory. */
const members: Readonly<Record<string, string>> = {
  '': '',
  a: 'one',
  b: 'two',
  'c/': '',
  'c/x': 'three',
  'implied/y/z': 'four',
  'empty/': '',
}

describeForeign('trees of a bucket', cephNeeds, () => {
  let ceph: Ceph
  let bucket: string
  const opened: S3Service[] = []

  beforeAll(async () => {
    ceph = await startCeph()
    bucket = await freshBucket(ceph)
  })
  afterAll(async () => {
    await Promise.all(opened.map((service) => service.close()))
    await ceph.stop()
  })

  /** The same connections for all: a prefix of its own is put before the keys. */
  async function serviceAt(prefix: string, selfTest: boolean): Promise<S3Service> {
    const service = await openS3Service({ settings: parseS3Url(ceph.url(bucket, prefix)), selfTest })
    opened.push(service)
    return service
  }

  function contextOf(service: S3Service): S3Context {
    const { signal } = new AbortController()
    return {
      service,
      turns: localTurns(),
      directories: new KnownDirectories(localChanges()),
      buffers: new PartBuffers(2 ** 24),
      later: () => undefined,
      closing: signal,
    }
  }

  async function keys(service: S3Service): Promise<readonly string[]> {
    return (await service.list({})).objects.map(({ key }) => key).filter((key) => !key.startsWith('.postern-test/'))
  }

  async function fill(service: S3Service, prefix: string): Promise<void> {
    await Promise.all(Object.entries(members).map(([rest, text]) => service.put(prefix + rest, [Buffer.from(text)])))
  }

  const below = (prefix: string): readonly string[] =>
    Object.keys(members)
      .map((rest) => prefix + rest)
      .sort()

  const files = Object.keys(members).filter((rest) => rest !== '' && !rest.endsWith('/'))

  const text = async (service: S3Service, key: string): Promise<string | undefined> => {
    if ((await service.head(key)) === undefined) return undefined
    const chunks: Uint8Array[] = []
    for await (const chunk of (await service.get(key)).bytes) chunks.push(chunk)
    return Buffer.concat(chunks).toString()
  }

  async function eachSomewhere(service: S3Service): Promise<void> {
    for (const rest of files) {
      const [source, target] = [await text(service, `d/${rest}`), await text(service, `e/${rest}`)]
      expect([rest, source ?? target]).toEqual([rest, members[rest]])
    }
  }

  describe.each([
    ['with conditions', true],
    ['with turns', false],
  ])('%s', (_name, selfTest) => {
    it.each(['before', 'after'] satisfies Death[])(
      'a process that is killed %s any request of a move loses nothing, and the next one puts it in order',
      async (death) => {
        let wasUndone = 0
        let wasFinished = 0
        for (let lives = 0; ; lives++) {
          const service = await serviceAt(randomUUID(), selfTest)
          await fill(service, 'd/')
          await service.put('beside', [Buffer.from('x')])
          const dying = mortal(service, lives, death)
          const kind = await failureOf(moveTree(contextOf(dying.service), p('/d'), p('/e')))
          if (!dying.isDead()) {
            expect(kind).toBe('none')
            expect(await keys(service)).toEqual(['beside', ...below('e/')].sort())
            break
          }
          await eachSomewhere(service)
          const swept = await sweep(contextOf(service), { silence: 0 })
          const left = await keys(service)
          const target = ['beside', ...below('e/')].sort()
          if (left.includes('d/a')) {
            // Only an empty directory may be left, where nothing was written down yet.
            expect(left.filter((key) => key !== 'e/')).toEqual(['beside', ...below('d/')].sort())
            wasUndone += swept.moves
          } else {
            expect(left).toEqual(target)
            wasFinished += swept.moves
          }
        }
        expect(wasUndone).toBeGreaterThan(3)
        expect(wasFinished).toBeGreaterThan(3)
      },
    )

    it('a client that repeats an interrupted move over its target loses nothing', async () => {
      for (let lives = 3; ; lives += 2) {
        const service = await serviceAt(randomUUID(), selfTest)
        await fill(service, 'd/')
        const dying = mortal(service, lives, 'after')
        await failureOf(moveTree(contextOf(dying.service), p('/d'), p('/e')))
        if (!dying.isDead()) break
        const context = contextOf(service)
        const store = await openS3Store({ service })
        // At once: whoever made it might live.
        const early = await failureOf(tree.moveTree(store, p('/d'), p('/e'), { overwrite: true }))
        expect(['none', 'not-found', 'unavailable']).toContain(early)
        await eachSomewhere(service)
        await finishMoves(context, 0)
        const again = await failureOf(tree.moveTree(store, p('/d'), p('/e'), { overwrite: true }))
        expect(['none', 'not-found']).toContain(again)
        expect(await keys(service)).toEqual(below('e/'))
      }
    })

    it('keeps what others write to both ends while a tree moves', async () => {
      const service = await serviceAt(randomUUID(), selfTest)
      await fill(service, 'd/')
      let copies = 0
      const watched = new Proxy(service, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          return async (...given: unknown[]) => {
            // All is copied, nothing removed: one file is written anew, and one more comes.
            if (name === 'removeMany' && copies++ === 0) {
              await service.put('d/a', [Buffer.from('newer')])
              await service.put('d/late', [Buffer.from('late')])
            }
            return (await Reflect.apply(value, target, given)) as unknown
          }
        },
      })
      await failureOf(moveTree(contextOf(watched), p('/d'), p('/e')))
      expect([await text(service, 'd/late'), await text(service, 'e/late')]).toContain('late')
      expect([await text(service, 'd/a'), await text(service, 'e/a')]).toContain('newer')
    })

    it('copies what was written to the source after its copy, and does not drop what was written to the target', async () => {
      const service = await serviceAt(randomUUID(), selfTest)
      await fill(service, 'd/')
      await copyTree(contextOf(service), p('/d'), p('/e'))
      const move = await noteMove(contextOf(service), p('/d'), p('/e'), 0)
      await move.copied()
      await move.giveUp()
      await service.put('d/a', [Buffer.from('newer')])
      await service.put('d/late', [Buffer.from('late')])
      await service.remove('e/b')
      expect(await finishMoves(contextOf(service))).toBe(1)
      expect(await keys(service)).toEqual([...below('e/'), 'e/late'].sort())
      expect(await text(service, 'e/a')).toBe('newer')
      expect(await text(service, 'e/b')).toBe('two')
    })

    it('leaves what is not its own when it undoes a move', async () => {
      const service = await serviceAt(randomUUID(), selfTest)
      await fill(service, 'd/')
      const { entry } = await copyTree(contextOf(service), p('/d'), p('/e'))
      const move = await noteMove(contextOf(service), p('/d'), p('/e'), entry.modified)
      await service.put('e/a', [Buffer.from('someone else')])
      await service.put('e/own', [Buffer.from('own')])
      await move.giveUp()
      expect(await finishMoves(contextOf(service))).toBe(1)
      expect(await keys(service)).toEqual([...below('d/'), 'e/', 'e/a', 'e/own'].sort())
    })
  })

  it('lets nobody touch a tree that is being moved, and lets only one move it', async () => {
    const service = await serviceAt(randomUUID(), true)
    const context = contextOf(service)
    await fill(service, 'd/')
    const move = await noteMove(context, p('/d'), p('/e'), Date.now())
    for (const path of ['/d', '/e', '/d/c'])
      expect([path, await failureOf(settleBelow(context, p(path)))]).toEqual([path, 'unavailable'])
    await settleBelow(context, p('/beside'), p('/dd'))
    expect(await failureOf(removeTree(context, p('/d/c')))).toBe('unavailable')
    expect(await failureOf(moveTree(context, p('/d'), p('/f')))).toBe('unavailable')
    expect(await failureOf(copyTree(context, p('/d'), p('/f')))).toBe('unavailable')
    expect(await finishMoves(context)).toBe(0)
    await move.forget()
    expect(await keys(service)).toEqual(below('d/'))

    const kinds = await Promise.all(['f', 'g', 'h'].map((to) => failureOf(moveTree(context, p('/d'), p(`/${to}`)))))
    const left = (await keys(service)).filter((key) => key.endsWith('/a'))
    expect(left).toHaveLength(1)
    expect(kinds.filter((kind) => kind === 'none').length).toBeLessThanOrEqual(1)
    expect(await keys(service)).toHaveLength(below('d/').length)
  })

  it('tells a mover that another has taken over', async () => {
    const service = await serviceAt(randomUUID(), true)
    const context = contextOf(service)
    await fill(service, 'd/')
    await service.put('e/', [])
    const move = await noteMove(context, p('/d'), p('/e'), Date.now())
    expect(await finishMoves(context, 0)).toBe(1)
    expect(await failureOf(move.copied())).toBe('unavailable')
    expect(move.lost.aborted && isFailure(move.lost.reason, 'unavailable')).toBe(true)
  })

  it('passes over entries that are none', async () => {
    const service = await serviceAt(randomUUID(), true)
    const odd = ['', '{}', 'null', '{"from":"../x","to":"/e","begun":0}', '{"from":"/d","to":7,"begun":0}']
    for (const [index, value] of odd.entries()) await service.put(`.postern-moves/${index}`, [Buffer.from(value)])
    await fill(service, 'd/')
    expect(await finishMoves(contextOf(service), 0)).toBe(0)
    await moveTree(contextOf(service), p('/d'), p('/e'))
    expect((await keys(service)).filter((key) => !key.startsWith('.postern-'))).toEqual(below('e/'))
  })

  it('goes on page by page, and takes back a copy that is given up', async () => {
    const service = await serviceAt(randomUUID(), true)
    const context = contextOf(service)
    const names = Array.from({ length: 2100 }, (_, index) => `d/${index}`)
    for (let at = 0; at < names.length; at += 100)
      await Promise.all(names.slice(at, at + 100).map((name) => service.put(name, [])))
    const controller = new AbortController()
    let copies = 0
    const counting = new Proxy(service, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target)
        if (name === 'copy' && ++copies === 1500) controller.abort()
        if (typeof value !== 'function') return value
        return (...given: unknown[]): unknown => Reflect.apply(value, target, given)
      },
    })
    expect(await failureOf(copyTree(contextOf(counting), p('/d'), p('/e'), controller.signal))).toBe('incomplete')
    expect((await service.list({ prefix: 'e' })).objects).toEqual([])
    await moveTree(context, p('/d'), p('/e'))
    expect((await service.list({ prefix: 'd' })).objects).toEqual([])
    await removeTree(context, p('/e'))
    expect(await keys(service)).toEqual([])
  })
})

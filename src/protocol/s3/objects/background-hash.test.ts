import { describe, expect, it } from 'vitest'
import { Failure } from '../../../core/failure.js'
import { toPath } from '../../../core/path.js'
import type { StorePath } from '../../../core/path.js'
import type { Entry, Store } from '../../../store/store.js'
import { openBackgroundHash } from './background-hash.js'
import { openS3Site } from '../../../../test/s3-site.js'

type Digest = NonNullable<Store['digest']>

/** A store that hashes when it is told to. */
function slowStore(): { store: { digest: Digest }; asked: StorePath[]; finish: (error?: Error) => Promise<void> } {
  const asked: StorePath[] = []
  const waiting: ((error?: Error) => void)[] = []
  return {
    asked,
    store: {
      digest: (path, _names, signal) =>
        new Promise((resolve, reject) => {
          asked.push(path)
          signal?.addEventListener('abort', () => reject(new Failure('incomplete', 'aborted')))
          waiting.push((error) => (error === undefined ? resolve({}) : reject(error)))
        }),
    },
    async finish(error) {
      waiting.shift()?.(error)
      await new Promise(setImmediate)
    },
  }
}

const at = (path: string): { path: StorePath } => ({ path: toPath(path) })

describe('hashing in the background', () => {
  it('does nothing on a store that cannot remember', async () => {
    const hash = openBackgroundHash({ store: {} })
    hash.later(at('/f'))
    await hash.idle()
    await hash.close()
  })

  it('takes one at a time, each once, and passes over what fails', async () => {
    const { store, asked, finish } = slowStore()
    const faults: unknown[] = []
    const hash = openBackgroundHash({ store, onFault: (error) => faults.push(error) })
    for (const path of ['/a', '/b', '/a', '/c']) hash.later(at(path))
    expect(asked).toEqual(['/a'])
    hash.later(at('/a'))
    await finish(new Failure('precondition', 'changed'))
    expect(asked).toEqual(['/a', '/b'])
    const fault = new TypeError('unexpected')
    await finish(fault)
    await finish()
    await hash.idle()
    expect([asked, faults]).toEqual([['/a', '/b', '/c'], [fault]])
    hash.later(at('/a'))
    expect(asked).toHaveLength(4)
    await finish()
    await hash.idle()
  })

  it('drops what there is no room for', async () => {
    const { store, asked, finish } = slowStore()
    const hash = openBackgroundHash({ store, mostWaiting: 2 })
    for (const path of ['/a', '/b', '/c']) hash.later(at(path))
    await finish()
    await finish()
    await hash.idle()
    expect(asked).toEqual(['/a', '/b'])
  })

  it('stops at once', async () => {
    const { store, asked } = slowStore()
    const hash = openBackgroundHash({ store })
    hash.later(at('/a'))
    hash.later(at('/b'))
    await hash.close()
    hash.later(at('/c'))
    expect(asked).toEqual(['/a'])
  })

  it('turns an opaque ETag into the MD5', async () => {
    const shown: Entry[] = []
    const site = await openS3Site('local', { hashLater: (entry) => shown.push(entry) })
    const hash = openBackgroundHash({ store: site.store })
    try {
      await site.fill({ '/b/f': 'bytes' })
      const before = (await site.ask('HEAD', '/b/f')).header('etag') ?? ''
      expect(before).toMatch(/^"[0-9a-f]{32}-1"$/)
      for (const entry of shown) hash.later(entry)
      await hash.idle()
      expect((await site.ask('HEAD', '/b/f')).header('etag')).toBe('"4b3a6218bb3e3a7303e8a171a60fcf92"')
      // Whoever was shown the other one meanwhile can still name the file by it.
      expect((await site.ask('GET', '/b/f', { headers: { 'if-match': before } })).status).toBe(200)
      expect((await site.ask('PUT', '/b/f', { body: 'new', headers: { 'if-match': before } })).status).toBe(200)
    } finally {
      await hash.close()
      await site.dispose()
    }
  })
})

import { afterEach, expect, it, vi } from 'vitest'
import { body, p } from '../../../test/contract/store/subject.js'
import { openMemoryS3 } from '../../../test/memory-s3.js'
import { Failure } from '../../core/failure.js'
import { openS3Store } from '../s3.js'
import type { S3Service } from './service.js'

const dayMilliseconds = 24 * 3600 * 1000

afterEach(() => void vi.useRealTimers())

/** A service whose clock goes right, whatever the one of this machine says. */
function punctual(service: S3Service, time: () => number): S3Service {
  return Object.assign(Object.create(service) as S3Service, {
    put: async (...given: Parameters<S3Service['put']>) => ({ ...(await service.put(...given)), modified: time() }),
  })
}

it('aborts no upload of today where the clock of this machine is days ahead, and those of yesterday wherever it is', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  const began = Date.now()
  let there = began
  const service = openMemoryS3()
  const store = await openS3Store({ service: punctual(service, () => there) })
  const upload = { key: 'f', id: await service.beginUpload('f') }
  const etag = await service.putPart(upload, 1, [Buffer.from('still coming')])
  await service.put('.postern-test/t/name', [])
  vi.setSystemTime(began + 3 * dayMilliseconds)
  expect(await store.sweep()).toEqual({ uploads: 0, tests: 0, moves: 0 })
  there = began + dayMilliseconds + 1000
  expect(await store.sweep()).toEqual({ uploads: 1, tests: 1, moves: 0 })
  await expect(service.completeUpload(upload, [{ number: 1, etag }])).rejects.toMatchObject({ kind: 'not-found' })
  await store.write(p('/g'), body('x'))
  await store.close()
})

it('aborts the others where one upload cannot be, says so, and finds that one again', async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  let there = Date.now()
  const service = openMemoryS3()
  let broken = 'a'
  const failing = Object.assign(Object.create(punctual(service, () => there)) as S3Service, {
    abortUpload: (upload: Parameters<S3Service['abortUpload']>[0]) =>
      upload.key === broken
        ? Promise.reject(new Failure('unavailable', 'The service is busy.'))
        : service.abortUpload(upload),
  })
  const store = await openS3Store({ service: failing })
  for (const key of ['a', 'b', 'c']) await service.beginUpload(key)
  there += 3 * dayMilliseconds
  vi.setSystemTime(there)
  await expect(store.sweep()).rejects.toThrow('The service is busy.')
  broken = ''
  expect(await store.sweep()).toMatchObject({ uploads: 1 })
  await store.close()
})

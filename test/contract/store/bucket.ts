import { expect } from 'vitest'
import type { S3Service } from '../../../src/store/s3/service.js'
import type { Lacking, Medium } from './subject.js'

/** What no store over S3 can do. */
export const s3Lacking: Lacking = {
  space: 'S3 tells neither what is used nor what is left',
  digest: 'S3 keeps what is noted of an object only with a new copy of it',
  sparse: 'objects are never sparse',
  links: 'a bucket holds objects only',
  ownTimes: 'S3 gives every object the time at which it was stored',
  executable: 'objects have no executable flag',
  ownEtags: 'the ETag of S3 is the MD5 of the bytes',
  notedFiles: 'a listing of S3 tells no metadata, and to ask would be a request for each object',
}

/** A bucket, or a part of one, as others see it. */
export function bucketMedium(service: S3Service): Medium {
  const none = async (): Promise<never> => Promise.reject(new Error('S3 has no such thing'))
  return {
    reserved: ['.postern-write-0123456789abcdef0', '.POSTERN-x', '.postern-', '.po\u017ftern-y'],
    isOdd: () => false,
    everything: async () => {
      const keys: string[] = (await keysOf(service)).map((key) => `/${key.normalize('NFC').replace(/\/$/, '')}`)
      for await (const uploads of service.listUploads()) keys.push(...uploads.map(({ key }) => `upload of ${key}`))
      return keys
    },
    sparse: none,
    symlink: none,
    fifo: none,
    put: async (path, text) => {
      await service.put(path.slice(1), [Buffer.from(text)])
    },
    read: async (path) => {
      const chunks: Uint8Array[] = []
      for await (const chunk of (await service.get(path.slice(1))).bytes) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    },
    drop: async (path) => {
      await service.remove(path.slice(1))
      expect(await service.removeMany(await keysOf(service, path.slice(1) + '/'))).toEqual([])
    },
  }
}

async function keysOf(service: S3Service, prefix = ''): Promise<readonly string[]> {
  const found: string[] = []
  let token: string | undefined
  do {
    const page = await service.list({ prefix, ...(token === undefined ? {} : { token }) })
    found.push(...page.objects.map(({ key }) => key))
    token = page.token
  } while (token !== undefined)
  return found
}

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSite } from './http-exchange.js'
import type { Answer, Site } from './http-exchange.js'
import { systemClock } from '../src/core/clock.js'
import { toPath } from '../src/core/path.js'
import type { S3Settings } from '../src/protocol/s3/context.js'
import { createS3 } from '../src/protocol/s3/index.js'
import { openLocalStore } from '../src/store/local.js'
import { openMemoryStore } from '../src/store/memory.js'

/** The S3 surface over a store of its own with the bucket `b`, as a gateway serves what the verifier has let through. */
export interface S3Site extends Site {
  dispose(): Promise<void>
}

/** The stores that the S3 surface is tested over. */
export const s3Media = ['memory', 'local'] as const

export async function openS3Site(
  medium: (typeof s3Media)[number] = 'memory',
  settings: Partial<S3Settings> = {},
): Promise<S3Site> {
  const root = medium === 'local' ? mkdtempSync(join(tmpdir(), 'postern-s3-')) : undefined
  const store =
    root === undefined ? openMemoryStore() : await openLocalStore({ root, durability: 'fast', symlinks: 'absent' })
  const protocol = createS3({
    hosts: [],
    buckets: new Map(),
    basePath: '',
    region: 'us-east-1',
    clock: systemClock,
    ...settings,
  })
  const site = openSite(protocol, { store })
  await store.makeDirectory(toPath('/b'))
  return {
    ...site,
    async dispose() {
      await store.close()
      if (root !== undefined) rmSync(root, { recursive: true })
    },
  }
}

/** `status` of an answer, with the code of S3 where it is a failure: `404 NoSuchKey`. */
export function outcomeOf({ status, text }: Answer): string {
  const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1]
  return code === undefined ? String(status) : `${status} ${code}`
}

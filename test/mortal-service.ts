import { Failure } from '../src/core/failure.js'
import type { S3Service } from '../src/store/s3/service.js'

/** How a process dies at one of its requests. */
export type Death =
  /** The request is never made. */
  | 'before'
  /** The service does what is asked; nobody hears of it. */
  | 'after'

export interface Mortal {
  readonly service: S3Service
  /** It has died: every request fails from then on. */
  isDead(): boolean
}

const requests: ReadonlySet<string | symbol> = new Set([
  'head',
  'get',
  'put',
  'copy',
  'remove',
  'removeMany',
  'list',
  'beginUpload',
  'putPart',
  'copyPart',
  'completeUpload',
  'abortUpload',
])

/** A real service, as a process sees it that is killed at one of its requests. */
export function mortal(service: S3Service, lives: number, death: Death): Mortal {
  let made = 0
  const isDead = (): boolean => made > lives
  const call = async (request: () => Promise<unknown>): Promise<unknown> => {
    made++
    if (!isDead()) return await request()
    if (made === lives + 1 && death === 'after') await request().catch(() => undefined)
    throw new Failure('unavailable', 'The process is dead.')
  }
  const mortalService = new Proxy(service, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      const method = (...given: unknown[]): unknown => Reflect.apply(value, target, given)
      return requests.has(name) ? (...given: unknown[]) => call(() => method(...given) as Promise<unknown>) : method
    },
  })
  return { service: mortalService, isDead }
}

import { setTimeout as delay } from 'node:timers/promises'
import { Failure } from '../../core/failure.js'
import { throwIfAborted } from '../aborted.js'
import { compareKeys } from '../key-order.js'
import type { ListedObject, ListPage, Removal, S3Service } from './service.js'

/** Keys that one request removes. */
export const removedAtOnce = 1000

/** How often keys are removed again that the service failed on, and how long to wait before, in milliseconds. */
const removeTries = 4
const pauseMilliseconds = 100

/** An object of one tree, and the one of the same name in another. */
export interface Pair {
  /** What is behind the prefix. */
  readonly rest: string
  readonly source: ListedObject | undefined
  readonly target: ListedObject | undefined
}

/** All objects whose keys begin with a prefix, page by page, each asked for while the one before is in use. */
export async function* objectsBelow(
  service: S3Service,
  prefix: string,
  signal?: AbortSignal,
): AsyncGenerator<readonly ListedObject[], void> {
  const ask = (token?: string): ReturnType<S3Service['list']> => {
    const page = service.list({ prefix, ...(token !== undefined && { token }), ...(signal && { signal }) })
    // Nobody may come for it.
    page.catch(() => undefined)
    return page
  }
  for (let next: ReturnType<typeof ask> | undefined = ask(); next !== undefined;) {
    const { objects, token }: ListPage = await next
    next = token === undefined ? undefined : ask(token)
    if (objects.length > 0) yield objects
  }
}

/** Two trees side by side, in key order; memory stays flat. */
export async function* pairsBelow(
  service: S3Service,
  from: string,
  to: string,
  signal?: AbortSignal,
): AsyncGenerator<readonly Pair[], void> {
  const sources = new Cursor(objectsBelow(service, from, signal), from)
  const targets = new Cursor(objectsBelow(service, to, signal), to)
  let batch: Pair[] = []
  try {
    for (;;) {
      const [source, target] = [await sources.peek(), await targets.peek()]
      if (source === undefined && target === undefined) break
      const order = source === undefined ? 1 : target === undefined ? -1 : compareKeys(source.rest, target.rest)
      const rest = (order <= 0 ? source?.rest : target?.rest) ?? ''
      batch.push({
        rest,
        source: order <= 0 ? source?.object : undefined,
        target: order >= 0 ? target?.object : undefined,
      })
      if (order <= 0) sources.take()
      if (order >= 0) targets.take()
      if (batch.length < removedAtOnce) continue
      yield batch
      batch = []
    }
    if (batch.length > 0) yield batch
  } finally {
    await Promise.all([sources.end(), targets.end()])
  }
}

class Cursor {
  readonly #pages: AsyncGenerator<readonly ListedObject[], void>
  readonly #prefix: string
  #page: readonly ListedObject[] = []
  #at = 0

  constructor(pages: AsyncGenerator<readonly ListedObject[], void>, prefix: string) {
    this.#pages = pages
    this.#prefix = prefix
  }

  async peek(): Promise<{ readonly rest: string; readonly object: ListedObject } | undefined> {
    while (this.#at >= this.#page.length) {
      const next = await this.#pages.next()
      if (next.done === true) return undefined
      this.#page = next.value
      this.#at = 0
    }
    const object = this.#page[this.#at]
    return object && { rest: object.key.slice(this.#prefix.length), object }
  }

  take(): void {
    this.#at++
  }

  async end(): Promise<void> {
    await this.#pages.return()
  }
}

/** Does the same with many things, so many at once. The first failure ends it; nothing runs on when this throws. */
export async function forAll<Thing>(
  batches: AsyncIterable<readonly Thing[]>,
  atOnce: number,
  work: (thing: Thing) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const running = new Set<Promise<void>>()
  let failed: { readonly error: unknown } | undefined
  const check = (): void => {
    if (failed !== undefined) throw failed.error
    throwIfAborted(signal)
  }
  try {
    for await (const batch of batches) {
      for (const thing of batch) {
        while (running.size >= atOnce) await Promise.race(running)
        check()
        const one: Promise<void> = work(thing)
          .catch((error: unknown) => {
            failed ??= { error }
          })
          .finally(() => running.delete(one))
        running.add(one)
      }
    }
  } finally {
    await Promise.all(running)
  }
  check()
}

/**
 * Removes any number of objects, whatever they are by now; gives the keys that may not go. Throws `unavailable` where the
 * service fails on some again and again.
 */
export async function removeKeys(
  service: S3Service,
  keys: readonly string[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  return (await removeSeen(service, keys, signal)).kept
}

/** The same for objects as they were seen: `changed` are those that are others by now, where the service tells. */
export async function removeSeen(
  service: S3Service,
  removals: readonly (string | Removal)[],
  signal?: AbortSignal,
): Promise<{ readonly kept: readonly string[]; readonly changed: readonly string[] }> {
  const kept: string[] = []
  const changed: string[] = []
  for (let at = 0; at < removals.length; at += removedAtOnce) {
    let left = removals.slice(at, at + removedAtOnce)
    for (let tries = 1; left.length > 0; tries++) {
      throwIfAborted(signal)
      const failures = await service.removeMany(left, signal)
      const again = new Set<string>()
      for (const { key, code } of failures) {
        if (isRefusal(code)) kept.push(key)
        else if (code === 'PreconditionFailed') changed.push(key)
        else again.add(key)
      }
      left = left.filter((each) => again.has(typeof each === 'string' ? each : each.key))
      if (left.length === 0) break
      if (tries === removeTries)
        throw new Failure('unavailable', 'The storage service has not removed all objects. Try again.', {
          retryAfterSeconds: 5,
          cause: failures,
        })
      await delay(pauseMilliseconds * 2 ** tries * Math.random())
    }
  }
  return { kept, changed }
}

function isRefusal(code: string): boolean {
  return /^(AccessDenied|AllAccessDisabled|AccountProblem|InvalidObjectState|ObjectLocked|MethodNotAllowed)/.test(code)
}

import { readSync } from 'node:fs'
import { expect, it } from 'vitest'
import { isFailure, type FailureKind } from '../../../src/core/failure.js'
import { isFileRange } from '../../../src/core/http.js'
import { toPath, type StorePath } from '../../../src/core/path.js'
import type { Body, ByteRange, Content, Entry, ListOptions, Store, WriteOptions } from '../../../src/store/store.js'

/** Methods that not every store has. */
export type MethodAbility =
  'settle' | 'removeTree' | 'moveTree' | 'copyTree' | 'assemble' | 'space' | 'digest' | 'parts'

/**
 * What not every store can do: a method, or
 * `medium`: others can put things where the store keeps its files;
 * `sparse`, `links`: they can put sparse files, or symbolic links and fifos there;
 * `ownTimes`: it keeps the times that it is given, and moves change none;
 * `executable`: it keeps the executable flag;
 * `ownEtags`: another write, move or copy of the same bytes gives another etag;
 * `ownDigests`: an entry has no digests but those that were asked for;
 * `notedFiles`: listings give all that is noted of files.
 */
export type Ability =
  MethodAbility | 'medium' | 'sparse' | 'links' | 'ownTimes' | 'executable' | 'ownEtags' | 'ownDigests' | 'notedFiles'

/** Why a store does not have an ability: shown beside the skipped test. */
export type Lacking = Readonly<Partial<Record<Ability, string>>>

/** An empty store, fresh for one test. */
export interface Subject {
  readonly store: Store
  readonly medium?: Medium
  /** After `store.close`: what the test made goes. */
  dispose(): Promise<void>
}

/** What a test does to the medium behind the store's back. */
export interface Medium {
  /** Everything that lies there, as paths, whether the store shows it or not. */
  everything(): Promise<readonly string[]>
  /** A file of that many zeroes which take no room. */
  sparse(path: string, bytes: number): Promise<void>
  put(path: string, text: string): Promise<void>
  read(path: string): Promise<string>
  symlink(path: string, target: string): Promise<void>
  fifo(path: string): Promise<void>
  /** Whether the test itself put something there that no store shows. */
  isOdd(path: string): boolean
  /** Takes a file or tree away. */
  drop(path: string): Promise<void>
  /** Names that the store keeps for itself. */
  readonly reserved: readonly string[]
}

export type Group = (subject: () => Subject, lacking: Lacking) => void

export const p = toPath

/** `it`, or a skip that says why. */
export function itWith(ability: Ability, lacking: Lacking, title: string, test: () => Promise<void>): void {
  const why = lacking[ability]
  if (why === undefined) it(title, test)
  else it.skip(`${title} (skipped: ${why})`, test)
}

/** Those of the options that the store keeps. */
export function kept<Options extends Pick<WriteOptions, 'modified' | 'executable'>>(
  lacking: Lacking,
  options: Options,
): Partial<Options> {
  const keeps = (name: string): boolean =>
    (name !== 'modified' || lacking.ownTimes === undefined) &&
    (name !== 'executable' || lacking.executable === undefined)
  return Object.fromEntries(Object.entries(options).filter(([name]) => keeps(name))) as Partial<Options>
}

/** Expects two entries to be the same; to two seconds where only the medium knows the time, and tells it twice. */
export function expectSame(lacking: Lacking, actual: Entry | undefined, expected: Entry): void {
  if (lacking.ownTimes === undefined || actual === undefined) {
    expect(actual).toEqual(expected)
    return
  }
  expect(Math.abs(actual.modified - expected.modified)).toBeLessThanOrEqual(2000)
  expect({ ...actual, modified: 0 }).toEqual({ ...expected, modified: 0 })
}

/** The store under test with a method that it said it has. */
export function ableTo<M extends MethodAbility>(
  store: Store,
  method: M,
): Store & { readonly [Key in M]-?: NonNullable<Store[Key]> } {
  if (store[method] === undefined) throw new Error(`The store lacks ${method} and did not say so.`)
  return store as Store & { readonly [Key in M]-?: NonNullable<Store[Key]> }
}

export async function* body(...chunks: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array, void> {
  for (const chunk of chunks) yield typeof chunk === 'string' ? Buffer.from(chunk) : chunk
}

/** A body that remembers whether anyone asked for it. */
export function watchedBody(...chunks: readonly string[]): { body: Body; pulled: () => boolean } {
  let pulled = false
  async function* watched(): AsyncGenerator<Uint8Array, void> {
    pulled = true
    yield* body(...chunks)
  }
  return { body: watched(), pulled: () => pulled }
}

/** Gives its chunks, then runs `then`, then waits for ever. */
export async function* stalledBody(then: () => void, ...chunks: readonly string[]): AsyncGenerator<Uint8Array, void> {
  yield* body(...chunks)
  then()
  await new Promise<never>(() => undefined)
}

/** Bodies that end only after all of them were begun, so that their commits fall together. */
export function bodiesInStep(texts: readonly string[]): readonly Body[] {
  let waiting = texts.length
  let release: () => void = () => undefined
  const all = new Promise<void>((resolve) => (release = resolve))
  return texts.map(async function* (text) {
    yield Buffer.from(text)
    if (--waiting === 0) release()
    await all
  })
}

export async function bytesOf(content: Content, range?: ByteRange): Promise<Buffer> {
  const bytes = content.bytes(range)
  if (bytes instanceof Uint8Array) {
    await content.close()
    return Buffer.from(bytes)
  }
  if (!isFileRange(bytes)) {
    const chunks: Uint8Array[] = []
    for await (const chunk of bytes) chunks.push(chunk)
    await content.close()
    return Buffer.concat(chunks)
  }
  const whole = Buffer.alloc(bytes.end - bytes.start)
  let filled = 0
  while (filled < whole.length) {
    const count = readSync(bytes.fd, whole, filled, whole.length - filled, bytes.start + filled)
    if (count === 0) throw new Error('The file is shorter than its range.')
    filled += count
  }
  bytes.close()
  await content.close()
  return whole
}

export async function textOf(store: Store, path: string): Promise<string> {
  return (await bytesOf(await store.open(p(path)))).toString()
}

export async function put(store: Store, path: string, text = path): Promise<Entry> {
  return (await store.write(p(path), body(text), { parents: true })).entry
}

export async function listed(store: Store, directory: string, options?: ListOptions): Promise<readonly Entry[]> {
  const all: Entry[] = []
  for await (const batch of store.list(p(directory), options)) {
    if (batch.length === 0) throw new Error('An empty batch.')
    all.push(...batch)
  }
  return all
}

export async function pathsBelow(
  store: Store,
  directory: string,
  options?: ListOptions,
): Promise<readonly StorePath[]> {
  return (await listed(store, directory, options)).map((entry) => entry.path)
}

/** What there is, and which version of each file. The times of directories change with attempts too. */
export async function snapshot(store: Store): Promise<readonly string[]> {
  const all = await listed(store, '/', { depth: 'infinity', order: 'key' })
  return all.map(({ path, kind, etag }) => (kind === 'file' ? `${path} ${etag}` : path + '/'))
}

/** The kind of the failure that the promise rejects with; anything else is thrown on. */
export async function failureOf(promise: Promise<unknown>): Promise<FailureKind | 'none'> {
  try {
    await promise
    return 'none'
  } catch (error) {
    if (isFailure(error)) return error.kind
    throw error
  }
}

import { Failure, isFailure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { compose } from './compose.js'
import { changeTries, changing, judgesAll, type S3Context } from './context.js'
import { md5OfEtag } from './entries.js'
import { directoryKey, maxKeyBytes, twinsOf } from './keys.js'
import { forAll, objectsBelow, pairsBelow, removeKeys, removeSeen } from './many-keys.js'
import { ObjectSink } from './object-sink.js'
import { isForbidden } from './service-errors.js'
import { type ListedObject, maxObjectBytesAtOnce, type ObjectFacts, type Removal } from './service.js'

/** Objects of a tree that are copied at once: the service does the work, and each takes it some milliseconds. */
export const copiesAtOnce = 32

/** Requests under way at once that remove a thousand objects each. */
const removalsAtOnce = 4

/** A turn is short: what takes longer is copied before it. */
const mostInTurnBytes = 512 * 2 ** 20

/** When the objects of a copy were made, by the clock of the service: milliseconds of whole seconds. */
export interface Span {
  readonly begun: number
  readonly ended: number
}

/**
 * Copies everything below a directory, but not its own marker, whatever the keys are; what has the target's name by now
 * stays, and what vanishes meanwhile is passed over. Throws what `isForbidden` knows where the service refuses one, `unsupported` where a
 * key would be too long.
 */
export async function copyKeys(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  signal: AbortSignal | undefined,
): Promise<void> {
  const target = directoryKey(to)
  for (const prefix of twinsOf(directoryKey(from)))
    await forAll(
      objectsBelow(context.service, prefix, signal),
      copiesAtOnce,
      async (object) => {
        if (object.key === prefix) return
        await copyObject(context, object, target + object.key.slice(prefix.length), signal)
      },
      signal,
    )
}

/** Copies one object to where nothing is; something that is there, or a source that is not, is no failure. */
async function copyObject(
  context: S3Context,
  { key, size }: Pick<ListedObject, 'key' | 'size'>,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { service } = context
  if (Buffer.byteLength(to) > maxKeyBytes) throw new Failure('unsupported', 'A path would be too long for a key of S3.')
  const judges = judgesAll(service)
  try {
    if (size > (judges ? maxObjectBytesAtOnce : mostInTurnBytes)) {
      await copyLarge(context, key, to, signal)
      return
    }
    await whereNothingIs(context, to, async () => {
      const condition = { absent: true } as const
      await service.copy(key, to, {
        ...(service.abilities.conditionalCopy && { condition }),
        ...(signal && { signal }),
      })
    })
  } catch (error) {
    ignoreOthers(error)
  }
}

/** By composing it of parts. */
async function copyLarge(context: S3Context, key: string, to: string, signal: AbortSignal | undefined): Promise<void> {
  const facts = await context.service.head(key, signal)
  if (facts === undefined) return
  const { etag, size, headers } = facts
  const sink = new ObjectSink(context, { key: to, headers, length: size, signal })
  let isMade = false as boolean
  try {
    await compose(sink, [{ key, etag, range: { start: 0, end: size } }], size)
    await sink.finish()
    const { conditionalComplete } = context.service.abilities
    await whereNothingIs(context, to, async (turn) => {
      await sink.put(conditionalComplete ? { absent: true } : undefined, headers, turn)
      isMade = true
    })
  } finally {
    if (!isMade) await sink.abandon()
    sink.end()
  }
}

/** Where the service judges no conditions, in turn and only where there is nothing. */
async function whereNothingIs(
  context: S3Context,
  key: string,
  make: (turn: AbortSignal | undefined) => Promise<void>,
): Promise<void> {
  await changing(context, key, async (turn) => {
    if (!judgesAll(context.service) && (await context.service.head(key, turn)) !== undefined) return
    await make(turn)
  })
}

/**
 * Takes away what a copy of a tree has left. Only what was made meanwhile and is still what the source has: whoever has
 * written there since keeps his files.
 */
export async function rollBack(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  span: Span,
  signal?: AbortSignal,
): Promise<void> {
  const { service } = context
  const target = directoryKey(to)
  for (const prefix of twinsOf(directoryKey(from)))
    for await (const pairs of pairsBelow(service, prefix, target, signal)) {
      const keys = pairs.flatMap(({ rest, source, target: made }) =>
        rest !== '' && source !== undefined && made !== undefined && isIn(span, made) && isSame(context, source, made)
          ? [made.key]
          : [],
      )
      await removeKeys(service, keys)
    }
  // Others may have put something beside.
  const { objects } = await service.list({ prefix: target, max: 2 })
  if (objects.every(({ key }) => key === target)) await service.remove(target)
}

/**
 * Removes the tree that was copied, the directory's own marker last. Only what has its copy goes: what somebody has written
 * to the source since is copied as well. What may not go stays, and its copy goes. Gives whether the source is gone.
 */
export async function removeCopied(
  context: S3Context,
  from: StorePath,
  to: StorePath,
  signal?: AbortSignal,
): Promise<boolean> {
  const { service } = context
  const target = directoryKey(to)
  let isWhole = true
  for (const prefix of twinsOf(directoryKey(from))) {
    const targetOf = (key: string): string => target + key.slice(prefix.length)
    for await (const pairs of pairsBelow(service, prefix, target, signal)) {
      const copied: Removal[] = []
      let left: string[] = []
      for (const { rest, source, target: made } of pairs) {
        if (source === undefined || rest === '') continue
        if (made !== undefined && isCopy(context, source, made)) copied.push(source)
        else left.push(source.key)
      }
      for (let tries = 1; copied.length > 0 || left.length > 0; tries++) {
        await forAll(batchOf(left), copiesAtOnce, async (key) => {
          const etag = await copyAgain(context, key, targetOf(key))
          if (etag !== undefined) copied.push({ key, etag })
          // What was there a moment ago, and is another by now, may be gone just as well.
          else if (tries === 1 || (await service.head(key)) !== undefined) isWhole = false
        })
        const { kept, changed } = await removeAsSeen(context, copied.splice(0))
        if (kept.length > 0) {
          isWhole = false
          await removeKeys(service, kept.map(targetOf))
        }
        left = [...changed]
        if (tries === changeTries && left.length > 0) {
          isWhole = false
          break
        }
      }
    }
    if (isWhole && (await removeKeys(service, [prefix])).length > 0) isWhole = false
  }
  return isWhole
}

/** Removes what is still as it was seen: in turn with who writes it, where the service judges no such condition. */
async function removeAsSeen(
  context: S3Context,
  seen: readonly Removal[],
): Promise<{ readonly kept: readonly string[]; readonly changed: readonly string[] }> {
  const { service } = context
  if (service.abilities.conditionalRemove) return await removeSeen(service, seen)
  const kept: string[] = []
  const changed: string[] = []
  await forAll(batchOf(seen), copiesAtOnce, async ({ key, etag }) => {
    await changing(context, key, async (turn) => {
      const present = await service.head(key, turn)
      if (present === undefined) return
      if (present.etag === etag) await service.remove(key)
      else changed.push(key)
    }).catch((error: unknown) => {
      if (!isForbidden(error) && !isFailure(error, 'denied', 'locked')) throw error
      kept.push(key)
    })
  })
  return { kept, changed }
}

async function* batchOf<Thing>(things: readonly Thing[]): AsyncGenerator<readonly Thing[], void> {
  yield things
}

/** Copies what was written after the copy was made, or never copied; gives the ETag of the source where the copy is that. */
async function copyAgain(context: S3Context, key: string, to: string): Promise<string | undefined> {
  const { service } = context
  const [source, there] = await Promise.all([service.head(key), service.head(to)])
  // The listing was old.
  if (source === undefined) return undefined
  if (there !== undefined && isCopy(context, source, there)) return source.etag
  // Somebody has written to both; neither may be lost.
  if (there !== undefined && there.modified > source.modified) return undefined
  if (there === undefined || source.size > maxObjectBytesAtOnce) {
    if (there !== undefined) await service.remove(to)
    await copyObject(context, { key, size: source.size }, to, undefined)
  } else {
    const condition = { etag: there.etag }
    await service.copy(key, to, service.abilities.conditionalCopy ? { condition } : {}).catch(ignoreOthers)
  }
  const made = await service.head(to)
  return made !== undefined && isCopy(context, source, made) ? source.etag : undefined
}

/** Of a change that came between. */
function ignoreOthers(error: unknown): void {
  if (!isFailure(error, 'precondition', 'not-found')) throw error
}

type Seen = Pick<ObjectFacts, 'size' | 'etag' | 'modified'>

function isCopy(context: S3Context, source: Seen, made: Seen): boolean {
  return made.modified >= source.modified && isSame(context, source, made)
}

/** The same bytes, as far as ETags tell: a copy of an object in parts has another one at some services. */
function isSame({ service }: S3Context, source: Seen, made: Seen): boolean {
  if (source.size !== made.size) return false
  const tells = service.abilities.etagIsMd5 && [source, made].every(({ etag }) => md5OfEtag(etag) !== undefined)
  return source.etag === made.etag || !tells
}

function isIn({ begun, ended }: Span, { modified }: Seen): boolean {
  return modified >= begun && modified <= ended
}

/**
 * Removes all keys of a directory, its own marker last. Throws `unsupported` where some may not go: the rest is gone then.
 */
export async function removeKeysBelow(
  { service }: S3Context,
  path: StorePath,
  signal: AbortSignal | undefined,
): Promise<void> {
  let isWhole = true
  for (const prefix of twinsOf(directoryKey(path))) {
    await forAll(
      batched(objectsBelow(service, prefix, signal), prefix),
      removalsAtOnce,
      async (keys) => {
        if ((await removeKeys(service, keys, signal)).length > 0) isWhole = false
      },
      signal,
    )
    if (isWhole && (await removeKeys(service, [prefix], signal)).length > 0) isWhole = false
  }
  if (!isWhole) throw new Failure('unsupported', 'Some members may not be removed.', { path })
}

async function* batched(
  pages: AsyncIterable<readonly ListedObject[]>,
  own: string,
): AsyncGenerator<readonly (readonly string[])[], void> {
  for await (const page of pages) {
    const keys = page.map(({ key }) => key).filter((key) => key !== own)
    if (keys.length > 0) yield [keys]
  }
}

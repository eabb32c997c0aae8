import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { requireConditions } from '../conditions.js'
import { Digester } from '../digester.js'
import { isDirectory } from '../refusals.js'
import type { Body, Conditions, Digests, Entry, WriteOptions, Written } from '../store.js'
import { commit, type Committed } from './commit.js'
import type { S3Context } from './context.js'
import { makeMarkers } from './directories.js'
import { fileEntry, headersOf } from './entries.js'
import { lookAtTarget, type TargetPresent } from './look.js'
import { ObjectSink } from './object-sink.js'
import type { ObjectHeaders } from './service.js'

/** How an object comes to its bytes, and what else must hold when it gets its name. */
export interface Making {
  /** Puts all the bytes in. */
  readonly fill: (sink: ObjectSink) => Promise<void>
  /** Throws where what is there now is not what the bytes were made of. */
  readonly judge?: (present: TargetPresent | undefined) => void
  /** Does the last step, and something around it. */
  readonly around?: (last: () => Promise<Written>) => Promise<Written>
}

/** `Store.write` */
export async function writeObject(
  context: S3Context,
  path: StorePath,
  body: Body,
  options: WriteOptions = {},
): Promise<Written> {
  return await makeObject(context, path, options, { fill: (sink) => sink.append(body) })
}

/**
 * Everything around the bytes: what is refused beforehand, digests, the last word of `beforeCommit`, and nothing left
 * behind. The digests of a file that comes in parts go to `beforeCommit` only: they are known when the headers, which
 * would keep them, have been sent long since.
 */
export async function makeObject(
  context: S3Context,
  path: StorePath,
  options: WriteOptions,
  { fill, judge, around = (last) => last() }: Making,
): Promise<Written> {
  const { signal, length, attributes, modified, parents } = options
  const headersWith = (size: number, digests: Digests, etagIsMd5: boolean): ObjectHeaders =>
    headersOf(path, { kind: 'file', size, attributes, modified, digests, etagIsMd5 })
  throwIfAborted(signal)
  const early = headersWith(0, {}, false)
  const judgeBoth = (present: TargetPresent | undefined): void => {
    judgeTarget(path, present, options)
    judge?.(present)
  }
  const seen = performance.now()
  const { ifMatch, ifNoneMatch, ifUnmodifiedSince } = options
  const isFree = ifMatch === undefined && ifNoneMatch === undefined && ifUnmodifiedSince === undefined
  const unconditional = isFree && judge === undefined && context.service.abilities.conditionalPut
  const target = await lookAtTarget(context, path, { parents, unconditional, signal })
  judgeBoth(target.present)
  const digester = digesterFor(options)
  const sink = new ObjectSink(context, { key: target.key, headers: early, length, digester, signal })
  try {
    await fill(sink)
    await sink.finish()
    const { size, isInParts } = sink
    const digests = digestsOf(digester, options)
    const { conditionalPut, conditionalComplete, etagIsMd5 } = context.service.abilities
    const headers = isInParts ? early : headersWith(size, digests, etagIsMd5)
    await options.beforeCommit?.({ size, digests })
    throwIfAborted(signal)
    return await around(async () => {
      const committed = await commit(context, {
        target,
        seen,
        parents,
        judge: judgeBoth,
        isConditional: isInParts ? conditionalComplete : conditionalPut,
        put: (condition, turn) => sink.put(condition, headers, turn),
      })
      return await written(context, committed, { size, headers, isInParts })
    })
  } catch (error) {
    await sink.abandon()
    throw error
  } finally {
    sink.end()
  }
}

/** What the service has been given, as an answer. Makes the directories above that it implies. Throws nothing: it is done. */
export async function written(
  context: S3Context,
  { stored, target }: Committed,
  { size, headers, isInParts }: { readonly size: number; readonly headers: ObjectHeaders; readonly isInParts: boolean },
): Promise<Written> {
  // Amazon dates an object in parts by the begin of its upload, which no answer tells.
  const [facts] = await Promise.all([
    isInParts ? context.service.head(target.key).catch(() => undefined) : undefined,
    target.missing.length > 0 ? makeMarkers(context, target.missing) : undefined,
  ])
  const modified = facts?.etag === stored.etag ? facts.modified : stored.modified
  const entry = fileEntry(context, target.path, { size, etag: stored.etag, modified, headers })
  return { entry, created: target.present === undefined }
}

/** Throws `precondition`, then `is-directory`. */
export function judgeTarget(
  path: StorePath,
  present: Pick<Entry, 'kind' | 'etag' | 'modified'> | undefined,
  conditions: Conditions,
): void {
  requireConditions(path, present, conditions)
  if (present?.kind === 'directory') throw isDirectory(path)
}

export function digesterFor({ digests = [] }: Pick<WriteOptions, 'digests'>): Digester | undefined {
  return digests.length === 0 ? undefined : new Digester(digests)
}

/** The computed digests, and those that the maker of the body knows, which is asked now. */
export function digestsOf(
  digester: Digester | undefined,
  { knownDigests }: Pick<WriteOptions, 'knownDigests'>,
): Digests {
  return { ...digester?.digests(), ...knownDigests?.() }
}

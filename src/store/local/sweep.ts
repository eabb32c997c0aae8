import { closeSync, constants } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { rootPath, type StorePath } from '../../core/path.js'
import type { LocalContext } from './context.js'
import { knownOf } from './facts.js'
import { namesIn } from './names.js'
import { emptyAndRemove } from './remove.js'
import { leftoverName } from './staging.js'
import { directoryKind, fact, factsLength, fileKind } from '../native.js'

const { O_RDONLY, O_DIRECTORY, O_NONBLOCK } = constants

/** A file, or the copy of a tree, is locked right after it was made; older than this and not locked, nobody writes it. */
const unlockedAgeSeconds = 2

/** Without locks only time tells. */
const withoutLocksAgeSeconds = 24 * 3600

/** Work for this long, then leave the disk to others for as long. */
const sliceMilliseconds = 5

/**
 * Removes what processes left behind that died in the middle of their work. Only names of exactly the form that Postern
 * gives; files that someone is still writing stay. Gives how many are gone. Ends early when the store closes.
 */
export async function sweep(context: LocalContext): Promise<number> {
  const { beneath } = context
  const facts = new Float64Array(factsLength)
  const todo: StorePath[] = [rootPath]
  const young: StorePath[] = []
  let removed = 0
  let since = performance.now()
  let again = false
  for (;;) {
    const path = todo.pop()
    if (path === undefined) {
      if (again || young.length === 0) break
      // Right after a crash the files of those who died are not old enough yet to be told from those just made.
      again = true
      await waitUntilOld(context)
      todo.push(...young)
      continue
    }
    const fd = beneath.open(path, O_RDONLY | O_DIRECTORY)
    if (fd < 0) continue
    try {
      for (const { name, kind } of namesIn(beneath.calls, fd)) {
        if (performance.now() - since > sliceMilliseconds) {
          await setTimeout(sliceMilliseconds, undefined, { ref: false })
          since = performance.now()
        }
        if (context.closing.aborted) return removed
        if (leftoverName.test(name)) {
          const done = await removeLeftover(context, fd, name, facts)
          if (done === true) removed++
          else if (done === 'young' && !again && young.at(-1) !== path) young.push(path)
          continue
        }
        const isDirectory =
          kind === directoryKind ||
          (kind === 0 && beneath.calls.statAt(fd, name, facts) >= 0 && facts[fact.kind] === directoryKind)
        // The name as the disk has it, in whatever Unicode form: it leads nowhere but there.
        if (isDirectory && !again) todo.push((path === rootPath ? `/${name}` : `${path}/${name}`) as StorePath)
      }
    } catch {
      // A directory that cannot be read is looked at again by the next sweep.
    } finally {
      closeSync(fd)
    }
  }
  return removed
}

async function removeLeftover(
  context: LocalContext,
  directory: number,
  name: string,
  facts: Float64Array,
): Promise<boolean | 'young'> {
  const { calls, isNative } = context.beneath
  if (calls.statAt(directory, name, facts) < 0) return false
  const kind = facts[fact.kind]
  const isTrash = leftoverName.exec(name)?.[1] === 'trash'
  if (kind === directoryKind && isTrash) return await emptyAndRemove(context, directory, name)
  const age = Date.now() / 1000 - (facts[fact.changedSeconds] ?? 0)
  if (kind !== fileKind && kind !== directoryKind) return false
  if (!isNative && age < withoutLocksAgeSeconds) return false
  const fd = calls.openAt(directory, name, O_RDONLY | O_NONBLOCK, 0)
  if (fd < 0) return false
  try {
    if (calls.flock(fd, true) < 0) return false
    if (isNative && age < unlockedAgeSeconds) return 'young'
    if (kind === directoryKind) return await emptyAndRemove(context, directory, name)
    if (calls.unlinkAt(directory, name, false) < 0) return false
    context.later(context.notes.forget(knownOf(facts)))
    return true
  } finally {
    closeSync(fd)
  }
}

async function waitUntilOld(context: LocalContext): Promise<void> {
  const signal = context.closing
  await setTimeout(unlockedAgeSeconds * 1000, undefined, { ref: false, signal }).catch(() => undefined)
}

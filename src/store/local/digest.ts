import { closeSync, read } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Failure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { Digester } from '../digester.js'
import { type LocalContext, lookInto, onDisk, openFile } from './context.js'
import { type Known, knownOf, millisecondsOf, tickMilliseconds } from './facts.js'
import { factsLength } from '../native.js'
import type { DigestName, Digests } from '../store.js'

const readSome = promisify(read)

/** Read at a time; to compute all digests of it takes some milliseconds. */
const pieceBytes = 256 * 1024

/** `Store.digest` */
export async function digestFile(
  context: LocalContext,
  path: StorePath,
  names: readonly DigestName[],
  signal?: AbortSignal,
): Promise<Digests> {
  throwIfAborted(signal)
  const { fd, known } = openFile(context, path)
  try {
    const { digests = {} } = await context.notes.read(known)
    const missing = names.filter((name) => digests[name] === undefined)
    if (missing.length === 0) return digests
    await passTick(known, signal)
    const before = lookInto(context, fd, path)
    const digester = new Digester(missing)
    await digestRange(context, { fd, start: 0, end: before.size, path }, digester, signal)
    if (!isSame(before, lookInto(context, fd, path)) || !isStillThere(context, path, before))
      throw new Failure('precondition', 'The file was changed while it was read.', { path })
    await context.notes.add(before, digester.digests())
    return { ...(isSame(known, before) ? digests : {}), ...digester.digests() }
  } finally {
    closeSync(fd)
  }
}

/** Computes digests over bytes `[start, end)` of an open file, in pieces between which others get their turn. */
export async function digestRange(
  context: LocalContext,
  {
    fd,
    start,
    end,
    path,
  }: { readonly fd: number; readonly start: number; readonly end: number; readonly path: StorePath },
  digester: Digester,
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(pieceBytes, end - start))
  for (let at = start; at < end;) {
    if (context.pace.isDueNow()) await context.pace.pause()
    throwIfAborted(signal)
    const { bytesRead } = await onDisk(path, readSome(fd, buffer, 0, Math.min(buffer.length, end - at), at))
    if (bytesRead === 0) return
    digester.update(buffer.subarray(0, bytesRead))
    at += bytesRead
  }
}

/** Within one tick of the clock a file could be changed once more and have the same times. */
async function passTick(known: Known, signal: AbortSignal | undefined): Promise<void> {
  const passed = Date.now() - millisecondsOf(known.changed)
  if (passed < 0 || passed >= tickMilliseconds) return
  await setTimeout(tickMilliseconds - passed, undefined, signal === undefined ? {} : { signal }).catch(() => undefined)
  throwIfAborted(signal)
}

function isSame(one: Known, other: Known): boolean {
  return one.size === other.size && one.modified === other.modified && one.changed === other.changed
}

function isStillThere(context: LocalContext, path: StorePath, known: Known): boolean {
  const facts = new Float64Array(factsLength)
  if (context.beneath.stat(path, facts) < 0) return false
  const now = knownOf(facts)
  return now.inode === known.inode && now.device === known.device && now.born === known.born
}

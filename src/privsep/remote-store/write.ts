import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../../store/aborted.js'
import { Digester } from '../../store/digester.js'
import { entryOfKnown } from '../../store/local/facts.js'
import { digestsOf, pour } from '../../store/local/pour.js'
import { requireAttributes } from '../../store/local/write.js'
import { fileKind } from '../../store/native.js'
import { wrongLength } from '../../store/refusals.js'
import type { Body, Digests, WriteOptions, Written } from '../../store/store.js'
import { decodeKnown } from '../known.js'
import type { Head } from '../wire/link.js'
import { encodeWriteOptions } from '../write-head.js'
import type { Peer, RemoteMount } from './peer.js'
import { asOne, Deposit } from './write-deposit.js'
import type { LastWord } from './write-last-word.js'

/** `Store.write` by the process of a user. */
export async function writeRemote(
  mount: RemoteMount,
  path: StorePath,
  body: Body,
  options: WriteOptions = {},
): Promise<Written> {
  throwIfAborted(options.signal)
  requireAttributes(path, options.attributes)
  return await withLastWord(mount, options, async (peer, word) => {
    const begin = { name: 'write-begin', head: { mount: mount.mount, path, options: encodeWriteOptions(options) } }
    const { head, ...delivered } = await deliver(peer, word, path, begin, body, options)
    return await finish(peer, word, path, head, delivered)
  })
}

/** Carries something out, with a last word of this side; whatever fails there, or here, is thrown as it was. */
export async function withLastWord<T>(
  mount: RemoteMount,
  options: WriteOptions,
  run: (peer: Peer, word: LastWord) => Promise<T>,
): Promise<T> {
  const peer = await mount.connect()
  const letGo = peer.hold()
  const word = peer.lastWords.begin(mount.notes, options)
  let isDone = false
  try {
    const result = await run(peer, word)
    isDone = true
    return result
  } catch (error) {
    throw word.reasonFor(error)
  } finally {
    letGo()
    await word.over(isDone)
  }
}

/** What begins a file that is filled from here. */
interface Beginning {
  readonly name: string
  readonly head: Head
}

interface Finished {
  readonly size: number
  readonly digests: Digests
  /** What is known of the file is as of the moment before it got its name. */
  readonly isStaged?: boolean
}

interface Delivered extends Finished {
  /** As it was answered in the end. */
  readonly head: Head
}

/** Brings a body to where the process of the user wants it. */
export async function deliver(
  peer: Peer,
  word: LastWord,
  path: StorePath,
  { name, head }: Beginning,
  body: Body,
  options: WriteOptions,
): Promise<Delivered> {
  const { length, signal, digests: names = [] } = options
  const deposit = new Deposit(peer, word.op, path, true)
  let isBegun = false
  try {
    const { takesWhole } = await deposit.begin(name, { ...head, asks: word.isNeeded }, signal)
    isBegun = true
    const digester = names.length === 0 ? undefined : new Digester(names)
    let whole: readonly Uint8Array[] | undefined
    const size = await pour(body, { open: deposit.open, keep: (chunks) => (whole = chunks) }, digester, options)
    throwIfAborted(signal)
    if (length !== undefined && size !== length) throw wrongLength()
    const digests = digestsOf(digester, options)
    word.expect({ size, digests })
    let asks = word.isNeeded
    // A small file is made and named in one step, right after this: nobody has to ask first.
    if (asks && whole !== undefined && takesWhole === true && word.needsNoFile) {
      await word.speak({ size, digests })
      asks = false
    }
    const answered = await deposit.commit(size, asOne(whole ?? []), asks, signal)
    return { head: answered, size, digests, isStaged: whole !== undefined && takesWhole === true && !asks }
  } catch (error) {
    if (isBegun || signal?.aborted === true) await deposit.abandon()
    throw error
  } finally {
    deposit.end()
  }
}

/** Looks at what is said of a file that has its name now, notes what is to be noted of it, and tells of it. */
export async function finish(
  peer: Peer,
  word: LastWord,
  path: StorePath,
  { known: told, created }: Head,
  { size, digests, isStaged = false }: Finished,
): Promise<Written> {
  const known = decodeKnown(told)
  if (!word.isHeeded) throw peer.distrust('a file that got its name without the last word')
  if (known?.kind !== fileKind || known.size !== size || typeof created !== 'boolean')
    throw peer.distrust('another file than the one that was written')
  const noted = await word.note(known, digests, !isStaged)
  return { entry: { ...entryOfKnown(path, known), ...shownOf(noted) }, created }
}

function shownOf({ digests = {}, attributes = {} }: Pick<Written['entry'], 'digests' | 'attributes'>): object {
  return {
    ...(Object.keys(digests).length > 0 && { digests }),
    ...(Object.keys(attributes).length > 0 && { attributes }),
  }
}

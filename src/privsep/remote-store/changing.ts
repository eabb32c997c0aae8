import { isFailure } from '../../core/failure.js'
import type { StorePath } from '../../core/path.js'
import { abortFailure, throwIfAborted } from '../../store/aborted.js'
import { requireAttributes } from '../../store/local/write.js'
import type { Entry, EntryChange, RemoveOptions, Transfer, Written } from '../../store/store.js'
import type { Head } from '../wire/link.js'
import { askPlainly, Patience, type Peer, type RemoteMount } from './peer.js'
import { entryNoted, entryTold, writtenTold } from './told-entry.js'

/** What changes names, by the process of a user, beside what writes bytes. */
export class RemoteChanges {
  readonly #mount: RemoteMount
  #ops = 0

  constructor(mount: RemoteMount) {
    this.#mount = mount
  }

  async change(path: StorePath, change: EntryChange): Promise<Entry> {
    const { ifMatch, modified, executable, attributes } = change
    requireAttributes(path, attributes)
    const { peer, head } = await this.#ask('change', { path, ifMatch, modified, executable, attributes })
    return await entryNoted(this.#mount, entryTold(peer, path, head.known))
  }

  async makeDirectory(path: StorePath, signal?: AbortSignal): Promise<Entry> {
    throwIfAborted(signal)
    const { peer, head } = await this.#ask('make-directory', { path })
    return entryTold(peer, path, head.known, 'directory').entry
  }

  async remove(path: StorePath, { ifMatch, signal }: RemoveOptions = {}): Promise<void> {
    throwIfAborted(signal)
    await this.#ask('remove', { path, ifMatch })
  }

  async copy(from: StorePath, to: StorePath, { overwrite, settle, signal }: Transfer): Promise<Written> {
    const { peer, head } = await this.#carryOut('copy', { from, to, overwrite, settle }, signal)
    return await writtenTold(this.#mount, peer, to, head)
  }

  async move(from: StorePath, to: StorePath, { overwrite, settle, signal }: Transfer): Promise<Written> {
    const { peer, head } = await this.#carryOut('move', { from, to, overwrite, settle }, signal)
    return await writtenTold(this.#mount, peer, to, head)
  }

  async removeTree(path: StorePath, signal?: AbortSignal): Promise<void> {
    await this.#carryOut('remove-tree', { path }, signal)
  }

  async moveTree(from: StorePath, to: StorePath): Promise<Written> {
    const { peer, head } = await this.#ask('move-tree', { from, to })
    return await writtenTold(this.#mount, peer, to, head)
  }

  async copyTree(from: StorePath, to: StorePath, signal?: AbortSignal): Promise<Written> {
    const { peer, head } = await this.#carryOut('copy-tree', { from, to }, signal)
    return await writtenTold(this.#mount, peer, to, head)
  }

  async settle(): Promise<void> {
    await this.#ask('settle', {})
  }

  /** Removes what processes of the user that crashed have left; gives how many. */
  async sweep(): Promise<number> {
    const { peer, head } = await this.#ask('sweep', {})
    if (!Number.isSafeInteger(head.count)) throw peer.distrust('a count that is none')
    return head.count as number
  }

  async #ask(name: string, head: Head): Promise<{ readonly peer: Peer; readonly head: Head }> {
    const peer = await this.#mount.connect()
    const answered = await askPlainly(peer, name, { ...head, mount: this.#mount.mount })
    return { peer, head: answered.head }
  }

  /** What is given up when the signal aborts, but waited for: nothing of it is left then. */
  async #carryOut(
    name: string,
    head: Head,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly peer: Peer; readonly head: Head }> {
    throwIfAborted(signal)
    const peer = await this.#mount.connect()
    throwIfAborted(signal)
    const { mount } = this.#mount
    const op = ++this.#ops
    const giveUp = (): void => void peer.ask('give-up', { mount, op }).catch(() => undefined)
    const patience = new Patience(peer, signal)
    signal?.addEventListener('abort', giveUp)
    try {
      const answered = await askPlainly(peer, name, { ...head, mount, op })
      return { peer, head: answered.head }
    } catch (error) {
      throw signal?.aborted === true && isFailure(error, 'incomplete') ? abortFailure(signal) : error
    } finally {
      patience.end()
      signal?.removeEventListener('abort', giveUp)
    }
  }
}

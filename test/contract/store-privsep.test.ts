import { chownSync, lchownSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, describe, it } from 'vitest'
import { remoteStore } from '../../src/privsep/remote-store.js'
import { RemoteNotes } from '../../src/privsep/remote-store/notes.js'
import { connectWorker, type UnixWorker } from '../../src/privsep/unix-worker.js'
import { openMounted } from '../../src/privsep/wire/mounted.js'
import { memoryNotes } from '../../src/store/local/notes.js'
import { loadNative } from '../../src/store/native.js'
import { canStartAsOthers } from '../other-users.js'
import { UnixWorkers } from '../unix-worker.js'
import { inDirectory } from './store/directory.js'
import type { Medium, Subject } from './store/subject.js'
import { storeContract } from './store.js'

const uid = 61010
const mostTests = 500
const reserved = ['.postern-write-0123456789abcdef0', '.POSTERN-x', '.postern-', '.po\u017ftern-y']

/** One process of a user for all tests: each has a mount of its own, which is a link to where the test works. */
class OneWorker {
  readonly #passes: boolean
  readonly #notes = new Map<number, RemoteNotes>()
  #workers: UnixWorkers | undefined
  #worker: Promise<UnixWorker> | undefined
  #used = 0

  constructor(passes: boolean) {
    this.#passes = passes
  }

  async subject(): Promise<Subject> {
    const worker = await (this.#worker ??= this.#start())
    const subject = await inDirectory(async (root) => {
      chownSync(root, uid, uid)
      const mount = this.#used++
      const notes = new RemoteNotes(memoryNotes())
      this.#notes.set(mount, notes)
      symlinkSync(root, this.#rootOf(mount))
      return remoteStore({ mount, notes, connect: async () => worker })
    }, reserved)
    return subject.medium === undefined ? subject : { ...subject, medium: ownedBy(subject.medium, this.#rootOf(this.#used - 1)) } // prettier-ignore
  }

  async close(): Promise<void> {
    ;(await this.#worker)?.close()
    await this.#workers?.close()
  }

  #rootOf(mount: number): string {
    return join(this.#workers?.folder ?? '', 'mounts', String(mount))
  }

  async #start(): Promise<UnixWorker> {
    this.#workers = await UnixWorkers.open()
    mkdirSync(join(this.#workers.folder, 'mounts'))
    const started = await this.#workers.start({
      uid,
      mounts: Array.from({ length: mostTests }, (_, mount) => ({
        directory: this.#rootOf(mount),
        durability: 'fast',
        symlinks: 'absent',
      })),
    })
    const calls = this.#passes ? loadNative() : undefined
    const ticket = started.ticket()
    return await connectWorker(started.path, {
      ticket: () => ticket,
      notesOf: (mount) => this.#notes.get(mount),
      kill: (why) => console.error(why, started.complaints),
      ...(calls !== undefined && { passing: { calls, mounted: openMounted(calls) } }),
    })
  }
}

/** What others put there is the user's as well. */
function ownedBy(medium: Medium, root: string): Medium {
  const give = (path: string): void => {
    for (let at = path; at !== '/'; at = dirname(at)) lchownSync(join(root, at), uid, uid)
  }
  return {
    ...medium,
    put: (path, text) => medium.put(path, text).then(() => give(path)),
    sparse: (path, bytes) => medium.sparse(path, bytes).then(() => give(path)),
    symlink: (path, target) => medium.symlink(path, target).then(() => give(path)),
    fifo: (path) => medium.fifo(path).then(() => give(path)),
  }
}

if (canStartAsOthers())
  for (const passes of loadNative() === undefined ? [false] : [true, false]) {
    const one = new OneWorker(passes)
    afterAll(() => one.close())
    storeContract(`the process of another user, ${passes ? 'with passed files' : 'by messages alone'}`, () =>
      one.subject(),
    )
  }
else
  describe('store contract: the process of another user', () => {
    it.skip('only root can start processes as other users, where those can run this Node')
  })

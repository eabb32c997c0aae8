import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../src/core/failure.js'
import { digestRemote } from '../src/privsep/remote-store/digest.js'
import { assembleRemote } from '../src/privsep/remote-store/assemble.js'
import { RemoteNotes } from '../src/privsep/remote-store/notes.js'
import { RemotePartRooms } from '../src/privsep/remote-store/parts.js'
import type { Peer, RemoteMount } from '../src/privsep/remote-store/peer.js'
import { LastWords } from '../src/privsep/remote-store/write-last-word.js'
import { writeRemote } from '../src/privsep/remote-store/write.js'
import { openDescriptors } from '../src/privsep/wire/descriptors.js'
import { type Link, openLink, type Table } from '../src/privsep/wire/link.js'
import { openMounted } from '../src/privsep/wire/mounted.js'
import { digestTable } from '../src/privsep/worker/digest.js'
import { WorkerNotes } from '../src/privsep/worker/notes.js'
import { partsTable } from '../src/privsep/worker/parts.js'
import { Writer } from '../src/privsep/worker/write.js'
import type { Known } from '../src/store/local/facts.js'
import { memoryNotes, type Notes } from '../src/store/local/notes.js'
import { type LocalOptions, type LocalStore, openLocalStore } from '../src/store/local.js'
import { loadNative } from '../src/store/native.js'
import type { Entry, Store } from '../src/store/store.js'

/** Two ends of one connection. */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-pair-'))
  const server = createServer()
  try {
    server.listen(join(folder, 's'))
    await once(server, 'listening')
    const one = connect(join(folder, 's'))
    const [[other]] = await Promise.all([once(server, 'connection') as Promise<[Socket]>, once(one, 'connect')])
    return [one, other]
  } finally {
    server.close()
    rmSync(folder, { recursive: true })
  }
}

/** The end of a user's process. */
export async function serveWriting(
  socket: Socket,
  { channel, around = (table) => table, ...options }: ServingOptions,
): Promise<Serving> {
  let resolve: (link: Link) => void = () => undefined
  const promise = new Promise<Link>((done) => (resolve = done))
  const ask: Link['ask'] = async (name, head) => (await promise).ask(name, head)
  const store = await openLocalStore({ ...options, keeping: (device) => new WorkerNotes(ask, device) })
  const addon = channel === undefined ? undefined : loadNative()
  const mounted = addon && openMounted(addon)
  const writer = new Writer({ stores: [store], ask, ...(mounted && { mayPass: (fd) => mounted.mayTravel(fd) }) })
  const link = openLink(socket, {
    table: around({ ...writer.beginning, ...writer.goingOn, ...partsTable([store]), ...digestTable([store]) }),
    maxAnswerBytes: 64 * 1024,
    maxAtOnce: 4096,
    ...(addon && mounted && channel !== undefined && { descriptors: openDescriptors(channel, addon, mounted) }),
  })
  resolve(link)
  return { store, writer, link }
}

interface ServingOptions extends LocalOptions {
  /** The descriptor of a socket for open files. */
  readonly channel?: number | undefined
  /** Changes what is answered. */
  readonly around?: (table: Table) => Table
}

interface Serving {
  readonly store: LocalStore
  readonly writer: Writer
  readonly link: Link
}

/** The other end. */
export interface Front {
  readonly mount: RemoteMount
  readonly notes: RemoteNotes
  readonly link: Link
  /** Rules that were broken. */
  readonly distrusted: string[]
}

export interface FrontOptions {
  readonly notes?: Notes
  readonly channel?: number | undefined
}

export function frontOf(socket: Socket, { notes = memoryNotes(), channel }: FrontOptions = {}): Front {
  const lastWords = new LastWords()
  const remote = new RemoteNotes(notes)
  const addon = channel === undefined ? undefined : loadNative()
  const link = openLink(socket, {
    table: { ...lastWords.table, ...remote.table },
    maxAnswerBytes: 1024 * 1024,
    maxAtOnce: 1024,
    ...(addon && channel !== undefined && { descriptors: openDescriptors(channel, addon, openMounted(addon)) }),
  })
  const distrusted: string[] = []
  const peer: Peer = {
    ask: (name, head, options) => link.ask(name, head, options),
    passes: addon !== undefined,
    lastWords,
    hold: () => () => undefined,
    distrust(why) {
      distrusted.push(why)
      link.close()
      return new Failure('unavailable', 'The process of this user has broken the rules.')
    },
  }
  return { mount: { mount: 0, notes: remote, connect: async () => peer }, notes: remote, link, distrusted }
}

/** A store that is written through a link, and looked at without. */
export async function openPairedStore(options: LocalOptions): Promise<Store> {
  const [one, other] = await socketPair()
  const { store, writer, link } = await serveWriting(other, options)
  const front = frontOf(one)
  const { mount, notes } = front
  const noted = async (entry: Entry): Promise<Entry> => {
    const { known, ...rest } = entry as Entry & { readonly known?: Known }
    if (known === undefined) return entry
    return (await notes.noted([{ entry: rest, known }]))[0] ?? rest
  }
  const stat: Store['stat'] = async (path, signal) => {
    const entry = await store.stat(path, signal)
    return entry && (await noted(entry))
  }
  return {
    stat,
    async *list(directory, settings) {
      for await (const batch of store.list(directory, settings)) yield await Promise.all(batch.map(noted))
    },
    async open(path, conditions) {
      const content = await store.open(path, conditions)
      return { entry: await noted(content.entry), bytes: (range) => content.bytes(range), close: () => content.close() }
    },
    write: (path, body, settings) => writeRemote(mount, path, body, settings),
    change: async (path, change) => noted(await store.change(path, change)),
    makeDirectory: (path, signal) => store.makeDirectory(path, signal),
    remove: (path, settings) => store.remove(path, settings),
    async copy(from, to, settings) {
      const { entry, created } = await store.copy(from, to, settings)
      return { entry: await noted(entry), created }
    },
    async move(from, to, settings) {
      const { entry, created } = await store.move(from, to, settings)
      return { entry: await noted(entry), created }
    },
    permits: () => store.permits('read', '/' as Entry['path']),
    settle: () => store.settle(),
    removeTree: (path, signal) => store.removeTree(path, signal),
    async moveTree(from, to) {
      const { entry, created } = await store.moveTree(from, to)
      return { entry: await noted(entry), created }
    },
    async copyTree(from, to, signal) {
      const { entry, created } = await store.copyTree(from, to, signal)
      return { entry: await noted(entry), created }
    },
    assemble: (to, pieces, settings) => assembleRemote(mount, to, pieces, settings),
    digest: (path, names, signal) => digestRemote(mount, stat, path, names, signal),
    space: (path) => store.space(path),
    parts: new RemotePartRooms(mount),
    async close() {
      await writer.close()
      await store.close()
      front.link.close()
      link.close()
    },
  }
}

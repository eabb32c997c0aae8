import { closeSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Failure, isFailure } from '../core/failure.js'
import { toPath } from '../core/path.js'
import { memoryNotes } from '../store/local/notes.js'
import { loadNative } from '../store/native.js'
import type { Entry, Store } from '../store/store.js'
import { remoteStore } from './remote-store.js'
import { RemoteNotes } from './remote-store/notes.js'
import { connectWorker, type UnixWorker } from './unix-worker.js'
import { openDescriptors } from './wire/descriptors.js'
import { type Answer, type Asked, type Head, openLink, type Table } from './wire/link.js'
import { openMounted } from './wire/mounted.js'
import { listenOnce } from './wire/one-time.js'

const native = process.platform === 'linux' ? loadNative() : undefined
const file = [1, 0o644, 5, 1, 61010, 61010, 0, 'a', '0.0', '0.0', '0.0'] as const
const directory = [2, 0o755, 4096, 2, 61010, 61010, 0, 'b', '0.0', '0.0', '0.0'] as const
const p = toPath

/** The process of a user that answers as the test wants, and the front that has to bear it. */
interface Hostile {
  readonly worker: UnixWorker
  readonly store: Store
  readonly killed: readonly string[]
  /** Its end of the link. */
  readonly socket: Socket
}

let folder = ''
const ends: (() => void)[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-hostile-'))
})

afterEach(() => {
  for (const end of ends.splice(0)) end()
  rmSync(folder, { recursive: true })
})

type Handle = (asked: Asked) => Promise<Answer | undefined> | Answer | undefined

async function hostile(
  answers: Readonly<Record<string, Handle>>,
  { passes = false, raw = false, silenceMilliseconds = 10_000 } = {},
): Promise<Hostile> {
  const once = await listenOnce(folder, { count: 2 })
  const killed: string[] = []
  const notes = new RemoteNotes(memoryNotes())
  const passing = passes && native !== undefined ? { calls: native, mounted: openMounted(native) } : undefined
  const connecting = connectWorker(once.path, {
    ticket: () => 'a ticket',
    notesOf: () => notes,
    kill: (why) => killed.push(why),
    silenceMilliseconds,
    ...(passing !== undefined && { passing }),
  })
  const [socket, channel] = await once.sockets
  const worker = await connecting
  if (socket === undefined || channel === undefined) throw new Error('no connection')
  if (!raw) {
    const entries = Object.entries({ ticket: () => ({}), ping: () => ({}), ...answers })
    const table: Table = Object.fromEntries(entries.map(([name, handle]) => [name, { maxBytes: 1e6, handle }]))
    const { fd } = (channel as unknown as { readonly _handle: { readonly fd: number } })._handle
    const descriptors = passing && openDescriptors(fd, passing.calls, passing.mounted)
    socket.resume()
    openLink(socket, { table, maxAnswerBytes: 1e6, maxAtOnce: 100, ...(descriptors && { descriptors: { send: (one) => descriptors.send(one), receive: (one) => descriptors.receive(one), close: () => undefined } }) }) // prettier-ignore
  }
  ends.push(() => {
    worker.close()
    socket.destroy()
    channel.destroy()
    passing?.mounted.close()
  })
  const store = remoteStore({ mount: 0, notes, connect: async () => worker })
  return { worker, store, killed, socket }
}

/** What is done ends with 503, and the process with it; the front goes on. */
async function endsIt({ worker, store, killed }: Hostile, work: (store: Store) => Promise<unknown>): Promise<void> {
  const failed = await work(store).then(() => undefined, (error: unknown) => error) // prettier-ignore
  expect(isFailure(failed, 'unavailable')).toBe(true)
  const end = await worker.closed
  expect(end.how).toBe('violation')
  expect(end.why).toBeTypeOf('string')
  expect(killed).toHaveLength(1)
  await expect(store.stat(p('/'))).rejects.toMatchObject({ kind: 'unavailable' })
}

async function listed(store: Store, options: Parameters<Store['list']>[1] = {}): Promise<readonly Entry[]> {
  const all: Entry[] = []
  for await (const batch of store.list(p('/d'), options)) all.push(...batch)
  return all
}

const answer = (head: Head) => () => ({ head })

describe('an entry that cannot be', () => {
  const changed = (at: number, value: unknown): readonly unknown[] => file.map((old, index) => (index === at ? value : old)) // prettier-ignore
  const cases: Readonly<Record<string, unknown>> = {
    'no list': { size: 5 },
    'too short': file.slice(1),
    'too long': [...file, 0],
    'a size that is no number': changed(2, NaN),
    'a negative size': changed(2, -1),
    'a huge size': changed(2, 1e300),
    'half a byte': changed(2, 0.5),
    'a size in text': changed(2, '5'),
    'a link': changed(0, 3),
    'an unknown kind': changed(0, 'file'),
    'lines in an etag': changed(9, '0.0\r\nSet-Cookie: a=b'),
    'a quote in an etag': changed(7, 'a"'),
    'a time that no date can be': changed(9, 'zzzzzzzzz.0'),
    'no time': changed(9, ''),
  }
  for (const [name, known] of Object.entries(cases))
    it(`ends the process: ${name}`, async () => {
      await endsIt(await hostile({ stat: answer({ known }) }), (store) => store.stat(p('/f')))
    })
})

describe('a member that cannot be', () => {
  const one = (name: unknown, more: Head = {}): Handle => answer({ names: [name], known: [file], ...more })
  const odd = ['', '.', '..', '../x', '/etc/passwd', 'a/b', 'a\0', 'e\u0301', '\ud800', '.postern-x', 7, null, 'x'.repeat(2000)] // prettier-ignore
  for (const name of odd)
    it(`ends the process: ${JSON.stringify(name).slice(0, 30)}`, async () => {
      await endsIt(await hostile({ list: one(name) }), (store) => listed(store))
    })
  for (const name of ['a//b', 'a/../b', '../d2/x', '/a', 'a/', './a', 'a/.postern-x/b/..'])
    it(`ends the process below, too: ${name}`, async () => {
      await endsIt(await hostile({ list: one(name) }), (store) => listed(store, { depth: 'infinity' }))
    })

  it('ends the process where more is told of than is named, or nothing', async () => {
    await endsIt(await hostile({ list: answer({ names: ['a'], known: [] }) }), (store) => listed(store))
    await endsIt(await hostile({ list: answer({}) }), (store) => listed(store))
    const many = Array.from({ length: 3000 }, (_, index) => `${index}`)
    await endsIt(await hostile({ list: answer({ names: many, known: many.map(() => file) }) }), (store) => listed(store)) // prettier-ignore
  })

  it('ends the process where it was not asked for, or is out of order', async () => {
    await endsIt(await hostile({ list: one('a') }), (store) => listed(store, { prefix: '/d/b' }))
    await endsIt(await hostile({ list: one('a') }), (store) => listed(store, { order: 'key', after: '/d/b' }))
    const twice = answer({ names: ['a', 'a'], known: [file, file] })
    await endsIt(await hostile({ list: twice }), (store) => listed(store, { order: 'key' }))
  })

  it('ends the process where pages go on with nothing, or by another number', async () => {
    const more = { names: ['a'], known: [file] }
    await endsIt(await hostile({ list: answer({ names: [], known: [], list: 1 }) }), (store) => listed(store))
    for (const list of ['1', -0.5, null, {}])
      await endsIt(await hostile({ list: answer({ ...more, list }), 'list-end': () => ({}) }), listed)
    const other = { list: answer({ ...more, list: 1 }), 'list-next': answer({ ...more, list: 2 }), 'list-end': () => ({}) } // prettier-ignore
    await endsIt(await hostile(other), listed)
  })

  it('may be one of as many as the reader wants, who leaves pages without end', async () => {
    let page = 0
    const left: unknown[] = []
    const next = (): Answer => ({ head: { names: [`${page++}`], known: [file], list: 1 } })
    const { store, worker, killed } = await hostile({
      list: next,
      'list-next': next,
      'list-end': ({ head }) => void left.push(head.list),
    })
    let seen = 0
    for await (const batch of store.list(p('/d'))) if ((seen += batch.length) >= 50) break
    expect(seen).toBe(50)
    expect(left).toEqual([1])
    expect(killed).toEqual([])
    expect(worker.idleMilliseconds).toBeGreaterThan(0)
  })
})

describe('an open file that cannot be', () => {
  const cases: Readonly<Record<string, Answer>> = {
    'fewer bytes than its size': { head: { known: file }, bytes: Buffer.from('1234') },
    'more bytes than its size': { head: { known: file }, bytes: Buffer.from('123456') },
    'a directory': { head: { known: directory } },
    'nothing known': { bytes: Buffer.from('12345') },
    'a number that is none': { head: { known: file, file: '1' } },
    'a number and bytes': { head: { known: file, file: 1 }, bytes: Buffer.from('12345') },
  }
  for (const [name, opened] of Object.entries(cases))
    it(`ends the process: ${name}`, async () => {
      await endsIt(await hostile({ open: () => opened }), (store) => store.open(p('/f')))
    })

  it('ends the process that gives more than was asked for, and only its reader where it gives less', async () => {
    const given = (bytes: string) => hostile({ open: answer({ known: file, file: 1 }), read: () => ({ bytes: Buffer.from(bytes) }), close: () => ({}) }) // prettier-ignore
    const read = async (store: Store): Promise<void> => {
      const content = await store.open(p('/f'))
      for await (const chunk of content.bytes() as AsyncIterable<Uint8Array>) expect(chunk.length).toBe(5)
    }
    await endsIt(await given('123456'), read)
    const short = await given('1234')
    await expect(read(short.store)).rejects.toMatchObject({ kind: 'unavailable' })
    expect(short.killed).toEqual([])
  })
})

describe('an answer that is none', () => {
  const cases: Readonly<Record<string, readonly [string, Head, (store: Store) => Promise<unknown>]>> = {
    permits: ['permits', { permits: 'yes' }, (store) => store.permits('read', p('/f'))],
    space: ['space', { space: { used: -1 } }, async (store) => store.space?.(p('/'))],
    copy: ['copy', { known: file, created: 1 }, (store) => store.copy(p('/f'), p('/g'), { overwrite: true })],
    move: ['move', { created: true }, (store) => store.move(p('/f'), p('/g'), { overwrite: true })],
    'make-directory': ['make-directory', { known: file }, (store) => store.makeDirectory(p('/d'))],
    'copy-tree': ['copy-tree', { known: null, created: true }, async (store) => store.copyTree?.(p('/d'), p('/e'))],
    change: ['change', {}, (store) => store.change(p('/f'), { executable: true })],
  }
  for (const [title, [name, head, work]] of Object.entries(cases))
    it(`ends the process: ${title}`, async () => {
      await endsIt(await hostile({ [name]: answer(head) }), work)
    })

  it('ends the process whose bytes are no frames', async () => {
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(64), Buffer.alloc(8, 0xff)]) {
      const one = await hostile({}, { raw: true })
      one.socket.write(bytes)
      await endsIt(one, (store) => store.stat(p('/f')))
    }
  })

  it('is known from failures that mean something to who logs in or waits', async () => {
    for (const kind of ['unauthenticated', 'throttled', 'locked', 'gone', 'method'] as const) {
      const { store, killed } = await hostile({
        stat: () => {
          throw new Failure(kind, 'x', { challenges: ['Basic realm="bank"'], retryAfterSeconds: 9 })
        },
      })
      const failed = await store.stat(p('/f')).catch((error: unknown) => error)
      expect(failed).toMatchObject({ kind: 'unavailable', challenges: undefined, retryAfterSeconds: 1 })
      expect(killed).toEqual([])
    }
  })
})

describe.skipIf(native === undefined)('a descriptor', () => {
  const known = file
  function opened(path: string, flags: number = constants.O_RDONLY): Answer {
    return { head: { known }, descriptor: openSync(path, flags) }
  }

  it('is taken where it is what was asked for', async () => {
    writeFileSync(join(folder, 'f'), '12345')
    const { store } = await hostile({ open: () => opened(join(folder, 'f')) }, { passes: true })
    const content = await store.open(p('/f'))
    expect(content.entry.size).toBe(5)
    await content.close()
  })

  it('ends the process where it was not asked for', async () => {
    writeFileSync(join(folder, 'f'), '12345')
    await endsIt(await hostile({ stat: () => opened(join(folder, 'f')) }, { passes: true }), (store) => store.stat(p('/f'))) // prettier-ignore
  })

  for (const path of ['/dev/null', '/proc/self/status', '/tmp'])
    it(`ends the process where it is no plain file: ${path}`, async () => {
      await endsIt(await hostile({ open: () => opened(path) }, { passes: true }), (store) => store.open(p('/f')))
    })

  it('is refused where less is in it than was said', async () => {
    writeFileSync(join(folder, 'f'), '123')
    const { store, killed } = await hostile({ open: () => opened(join(folder, 'f')) }, { passes: true })
    await expect(store.open(p('/f'))).rejects.toMatchObject({ kind: 'conflict' })
    expect(killed).toEqual([])
  })

  it('is closed, whatever becomes of it', async () => {
    writeFileSync(join(folder, 'f'), '12345')
    const free = (): number => {
      const fd = openSync('/dev/null', 'r')
      closeSync(fd)
      return fd
    }
    const one = await hostile({ open: () => ({ head: { known: directory }, descriptor: openSync(join(folder, 'f'), 'r') }) }, { passes: true }) // prettier-ignore
    const before = free()
    await expect(one.store.open(p('/f'))).rejects.toMatchObject({ kind: 'unavailable' })
    await one.worker.closed
    await expect.poll(free).toBeLessThanOrEqual(before)
  })
})

describe('silence', () => {
  it('ends the process that answers neither what was asked nor a ping', async () => {
    const never = (): Promise<undefined> => new Promise(() => undefined)
    const one = await hostile({ stat: never, ping: never }, { silenceMilliseconds: 60 })
    await endsIt(one, (store) => store.stat(p('/f')))
    expect(one.killed).toEqual(['does not answer'])
  })

  it('is borne where pings are answered, for some things take long', async () => {
    let pings = 0
    let enough: () => void = () => undefined
    const three = new Promise<void>((resolve) => (enough = resolve))
    let finish: (answer: Answer) => void = () => undefined
    const { store, killed, worker } = await hostile(
      {
        'copy-tree': () => new Promise((resolve) => (finish = resolve)),
        ping: () => {
          if (++pings === 3) enough()
          return {}
        },
      },
      { silenceMilliseconds: 40 },
    )
    const copied = store.copyTree?.(p('/d'), p('/e'))
    await three
    expect(worker.idleMilliseconds).toBe(0)
    finish({ head: { known: directory, created: true } })
    expect((await copied)?.created).toBe(true)
    expect(killed).toEqual([])
  })

  it('of what was given up is no fault, and neither is an answer that comes all the same', async () => {
    let finish: (answer: Answer) => void = () => undefined
    const { store, killed } = await hostile({
      stat: ({ head }) =>
        head.path === '/f' ? new Promise((resolve) => (finish = resolve)) : { head: { known: file } },
    })
    const control = new AbortController()
    const given = store.stat(p('/f'), control.signal)
    await store.stat(p('/g'))
    control.abort()
    await expect(given).rejects.toMatchObject({ kind: 'incomplete' })
    finish({ head: { known: file } })
    expect((await store.stat(p('/g')))?.size).toBe(5)
    expect(killed).toEqual([])
  })
})

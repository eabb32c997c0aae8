import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs' // prettier-ignore
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { isFileRange } from '../../src/core/http.js'
import { toPath } from '../../src/core/path.js'
import { remoteStore, type RemoteStore } from '../../src/privsep/remote-store.js'
import { RemoteNotes } from '../../src/privsep/remote-store/notes.js'
import { connectWorker, type UnixWorker } from '../../src/privsep/unix-worker.js'
import { openLink } from '../../src/privsep/wire/link.js'
import { openMounted } from '../../src/privsep/wire/mounted.js'
import { connectTo } from '../../src/privsep/wire/one-time.js'
import { memoryNotes } from '../../src/store/local/notes.js'
import { loadNative } from '../../src/store/native.js'
import { type StartedWorker, UnixWorkers } from '../unix-worker.js'

const alice = 61020
const bob = 61021
const p = toPath
const native = loadNative()

interface Acting {
  readonly started: StartedWorker
  readonly worker: UnixWorker
  readonly store: RemoteStore
  readonly killed: readonly string[]
}

describe.skipIf(process.getuid?.() !== 0 || native === undefined)('the process of a user', () => {
  let workers: UnixWorkers
  let root = ''
  const open: UnixWorker[] = []

  beforeAll(async () => {
    workers = await UnixWorkers.open()
  })

  afterAll(() => workers.close())

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'postern-acting-'))
    chmodSync(root, 0o755)
    for (const [name, uid] of [
      ['alice', alice],
      ['bob', bob],
    ] as const) {
      mkdirSync(join(root, name))
      chownSync(join(root, name), uid, uid)
      chmodSync(join(root, name), 0o700)
    }
  })

  afterEach(async () => {
    for (const worker of open.splice(0)) {
      worker.close()
      await worker.closed
    }
    rmSync(root, { recursive: true })
  })

  interface Asking {
    readonly as?: number
    readonly ticket?: (started: StartedWorker) => string | undefined
    readonly silenceMilliseconds?: number
  }

  async function act({ as = alice, ticket, silenceMilliseconds }: Asking = {}): Promise<Acting> {
    const started = await workers.start({ uid: alice, as, mounts: [{ directory: root, durability: 'fast', symlinks: 'inside' }, { directory: join(root, 'missing'), durability: 'fast', symlinks: 'absent' }] }) // prettier-ignore
    const notes = new RemoteNotes(memoryNotes())
    const killed: string[] = []
    const good = started.ticket()
    const worker = await connectWorker(started.path, {
      ticket: () => (ticket === undefined ? good : ticket(started)),
      notesOf: () => notes,
      kill: (why) => killed.push(why),
      ...(silenceMilliseconds !== undefined && { silenceMilliseconds }),
      ...(native !== undefined && { passing: { calls: native, mounted: openMounted(native) } }),
    })
    open.push(worker)
    return { started, worker, store: remoteStore({ mount: 0, notes, connect: async () => worker }), killed }
  }

  it('does nothing without a ticket, nor with one that is not for it, and then does with one that is', async () => {
    const bad: readonly ((started: StartedWorker) => string | undefined)[] = [
      () => undefined,
      (started) => started.ticket({ expires: Date.now() - 1 }),
      (started) => started.ticket({ uid: bob }),
      (started) => started.ticket({ generation: 'cd'.repeat(8) }),
      (started) => started.ticket({ key: Buffer.alloc(32, 8) }),
      (started) => started.ticket().slice(0, -2),
      () => 'v1..',
    ]
    let now: (started: StartedWorker) => string | undefined = () => undefined
    const { store, started, killed } = await act({ ticket: (one) => now(one) })
    for (const ticket of bad) {
      now = ticket
      await expect(store.stat(p('/alice'))).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(store.write(p('/alice/f'), bytes('x'))).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(store.list(p('/'))[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'unavailable' })
      await expect(store.removeTree(p('/alice'))).rejects.toMatchObject({ kind: 'unavailable' })
    }
    now = () => started.ticket()
    expect((await store.stat(p('/alice')))?.kind).toBe('directory')
    expect(killed).toEqual([])
  })

  it('finishes what was begun with a ticket that has expired since', async () => {
    let expires = Infinity
    const { store } = await act({ ticket: (one) => one.ticket({ expires: Number.isFinite(expires) ? expires : (expires = Date.now() + 1500) }) }) // prettier-ignore
    async function* slowly(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(200_000, 1)
      while (Date.now() <= expires) await after(20)
      yield Buffer.alloc(200_000, 2)
    }
    await store.write(p('/alice/f'), slowly())
    expect(statSync(join(root, 'alice/f')).size).toBe(400_000)
    await expect(store.stat(p('/alice/f'))).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it("makes files that are the user's, and reaches no others", async () => {
    writeFileSync(join(root, 'bob/secret'), 'secret')
    writeFileSync(join(root, 'shut'), 'root alone')
    chmodSync(join(root, 'shut'), 0o600)
    const { store } = await act()
    await store.write(p('/alice/small'), bytes('small'))
    await store.write(p('/alice/large'), bytes('l'.repeat(300_000)))
    await store.makeDirectory(p('/alice/d'))
    for (const name of ['small', 'large', 'd'])
      expect(statSync(join(root, 'alice', name))).toMatchObject({ uid: alice, gid: alice })
    expect(lstatSync(join(root, 'alice/small')).mode & 0o7777).toBe(0o644)
    await expect(store.open(p('/shut'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.open(p('/bob/secret'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.stat(p('/bob/secret'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.list(p('/bob'))[Symbol.asyncIterator]().next()).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.write(p('/bob/new'), bytes('x'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.write(p('/new'), bytes('x'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.removeTree(p('/bob'))).rejects.toMatchObject({ kind: 'denied' })
    await expect(store.move(p('/alice/small'), p('/bob/small'), { overwrite: true })).rejects.toMatchObject({ kind: 'denied' }) // prettier-ignore
    expect(await store.permits('list', p('/bob'))).toBe(false)
    expect(await store.permits('create', p('/alice/new'))).toBe(true)
    expect(readFileSync(join(root, 'bob/secret'), 'utf8')).toBe('secret')
  })

  it('gives a large file as an open one, which is read here', async () => {
    const { store, worker } = await act()
    const content = 'x'.repeat(100_000) + 'end'
    await store.write(p('/alice/f'), bytes(content))
    const opened = await store.open(p('/alice/f'))
    const range = opened.bytes({ start: 100_000, end: 100_003 })
    if (!isFileRange(range)) throw new Error('no open file')
    expect(range).toMatchObject({ start: 100_000, end: 100_003 })
    range.close()
    expect(worker.idleMilliseconds).toBeGreaterThan(0)
  })

  it('is unavailable for a directory that is missing, and serves the others', async () => {
    const { worker, store } = await act()
    const other = remoteStore({ mount: 1, notes: new RemoteNotes(memoryNotes()), connect: async () => worker })
    await expect(other.stat(p('/'))).rejects.toMatchObject({ kind: 'unavailable' })
    mkdirSync(join(root, 'missing'), { mode: 0o755 })
    expect((await other.stat(p('/')))?.kind).toBe('directory')
    expect((await store.stat(p('/missing')))?.kind).toBe('directory')
    const none = remoteStore({ mount: 2, notes: new RemoteNotes(memoryNotes()), connect: async () => worker })
    await expect(none.stat(p('/'))).rejects.toMatchObject({ kind: 'invalid' })
  })

  it('is nobody but the user, in each of its threads, and cannot be looked into', async () => {
    const { store, started } = await act()
    await store.stat(p('/alice'))
    const { pid = 0 } = await started.process
    const ids = [alice, alice, alice, alice].join('\t')
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
      const field = (name: string): string => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(status)?.[1] ?? ''
      expect([field('Uid'), field('Gid'), field('Groups').trim()]).toEqual([ids, ids, ''])
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(field(set)).toBe('0'.repeat(16))
      expect(field('NoNewPrivs')).toBe('1')
    }
    // Of a process that is not dumpable these are root's.
    expect(statSync(`/proc/${pid}/environ`).uid).toBe(0)
  })

  it('ends with its link, in order', async () => {
    const { store, started, worker } = await act()
    await store.stat(p('/alice'))
    worker.close()
    expect(await (await started.process).gone).toEqual({ code: 0, signal: undefined })
    expect(started.complaints).toEqual([])
  })

  it('ends where the other side breaks the rules', async () => {
    for (const nonsense of [Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.alloc(16, 0xff)]) {
      const started = await workers.start({ uid: alice, mounts: [] })
      const socket = await connectTo(started.path)
      const channel = await connectTo(started.path)
      socket.on('error', () => undefined).resume()
      socket.write(nonsense)
      expect(await (await started.process).gone).toEqual({ code: 1, signal: undefined })
      socket.destroy()
      channel.destroy()
    }
  })

  it('knows no message but those of its table', async () => {
    for (const name of ['exec', 'toString', '__proto__', 'constructor', '']) {
      const started = await workers.start({ uid: alice, mounts: [] })
      const socket = await connectTo(started.path)
      const channel = await connectTo(started.path)
      const link = openLink(socket, { table: {}, maxAnswerBytes: 1000, maxAtOnce: 1 })
      await expect(link.ask(name, {})).rejects.toMatchObject({ kind: 'unavailable' })
      expect((await (await started.process).gone).code).toBe(1)
      channel.destroy()
    }
  })

  it('does not begin as anybody else', async () => {
    const started = await workers.start({ uid: alice, as: bob })
    const [socket, channel] = [await connectTo(started.path), await connectTo(started.path)]
    expect((await (await started.process).gone).code).toBe(70)
    socket.destroy()
    channel.destroy()
  })

  it('fails what is under way at once when it is killed', async () => {
    const { store, started, worker } = await act()
    await store.stat(p('/alice'))
    const written = store.write(p('/alice/f'), endless())
    written.catch(() => undefined)
    await store.stat(p('/alice'))
    ;(await started.process).kill()
    await expect(written).rejects.toMatchObject({ kind: 'unavailable' })
    expect((await worker.closed).how).toBe('gone')
    await expect(store.stat(p('/alice'))).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('is given up when it stands still', async () => {
    const { store, started, killed } = await act({ silenceMilliseconds: 200 })
    await store.stat(p('/alice'))
    const { pid = 0 } = await started.process
    process.kill(pid, 'SIGSTOP')
    await expect(store.stat(p('/alice'))).rejects.toMatchObject({ kind: 'unavailable' })
    expect(killed).toEqual(['does not answer'])
    ;(await started.process).kill()
    await (
      await started.process
    ).gone
  })
})

async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text)
}

async function* endless(): AsyncGenerator<Uint8Array> {
  for (;;) {
    yield Buffer.alloc(1000)
    await after(1)
  }
}

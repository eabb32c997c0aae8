import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import fc from 'fast-check'
import { Failure } from '../../core/failure.js'
import { maxHeld, maxUnanswered, maxUnansweredBytes } from './asking.js'
import { openLink } from './link.js'
import type { Answer, Asked, Link, LinkOptions, Table } from './link.js'

const folder = mkdtempSync(join(tmpdir(), 'link-'))
const server = createServer()
const path = join(folder, 's')
const listening = new Promise<void>((resolve) => server.listen(path, resolve))
const sockets = new Set<Socket>()

afterEach(() => {
  for (const socket of sockets) socket.destroy()
})

afterAll(() => {
  server.close()
  rmSync(folder, { recursive: true })
})

/** Two ends of one socket. */
async function socketPair(): Promise<readonly [Socket, Socket]> {
  await listening
  const accepted = new Promise<Socket>((resolve) => server.once('connection', resolve))
  const one = connect(path)
  const other = await accepted
  for (const socket of [one, other]) {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  return [one, other]
}

function settings(table: Table, more: Partial<LinkOptions> = {}): LinkOptions {
  return { table, maxAnswerBytes: 1_000_000, maxAtOnce: 8, ...more }
}

function entry(handle: (asked: Asked) => Promise<Answer | undefined> | Answer | undefined, maxBytes = 1_000_000) {
  return { maxBytes, handle }
}

const echo = entry(({ head, bytes }) => ({ head, bytes }))

/** A link and one who keeps no rules at its other end. */
async function withHostile(table: Table = { echo }, more?: Partial<LinkOptions>) {
  const [socket, hostile] = await socketPair()
  hostile.on('error', () => undefined)
  return { link: openLink(socket, settings(table, more)), socket, hostile }
}

/** Two links over one socket. */
async function withHonest(table: Table, more?: Partial<LinkOptions>, ownTable: Table = {}) {
  const [one, other] = await socketPair()
  return { link: openLink(one, settings(ownTable)), other: openLink(other, settings(table, more)) }
}

function frame(head: unknown, bytes: Uint8Array = new Uint8Array(0)): Buffer {
  const text = Buffer.from(typeof head === 'string' ? head : JSON.stringify(head))
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(text.length + bytes.length, 0)
  prefix.writeUInt32BE(text.length, 4)
  return Buffer.concat([prefix, text, bytes])
}

/** Heads that come from the link, in their order. */
function readHeads(socket: Socket, take: (head: Record<string, unknown>) => unknown): void {
  let received = Buffer.alloc(0)
  socket.on('data', (piece: Buffer) => {
    received = Buffer.concat([received, piece])
    for (; received.length >= 8; received = received.subarray(8 + received.readUInt32BE(0))) {
      if (received.length < 8 + received.readUInt32BE(0)) return
      take(JSON.parse(received.toString('utf8', 8, 8 + received.readUInt32BE(4))) as Record<string, unknown>)
    }
  })
}

/** Resolves when a condition holds that only other turns of the loop can bring about. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

describe('a hostile peer', () => {
  const deep = '['.repeat(200_000)
  it.each<readonly [string, Buffer]>([
    ['an answer to nothing', frame({ answer: 0 })],
    ['a failure of nothing', frame({ failure: 0, of: { kind: 'denied', message: 'no' } })],
    ['a message of no name', frame({ ask: 0 })],
    ['a message that is not in the table', frame({ ask: 0, name: 'other' })],
    ['a message named as what every object has', frame({ ask: 0, name: 'constructor' })],
    ['a message named as the parent of every object', frame({ tell: '__proto__' })],
    ['a question without a number', frame({ ask: -1, name: 'echo' })],
    ['a question with half a number', frame({ ask: 0.5, name: 'echo' })],
    ['a question with a number that is none', frame('{"ask":1e400,"name":"echo"}')],
    ['the same number twice', Buffer.concat([frame({ ask: 1, name: 'slow' }), frame({ ask: 1, name: 'slow' })])],
    ['a number again', Buffer.concat([frame({ ask: 1, name: 'echo' }), frame({ ask: 1, name: 'echo' })])],
    ['a number below one before', Buffer.concat([frame({ ask: 1, name: 'echo' }), frame({ ask: 0, name: 'echo' })])],
    ['a question given up that was not asked', frame({ cancel: 0 })],
    ['a head within the head that is none', frame({ ask: 0, name: 'echo', head: [] })],
    ['a head that is a list', frame([])],
    ['a head that is nothing', frame('null')],
    ['a head that says nothing', frame({})],
    ['a head that is no JSON', frame('{"ask":0')],
    ['a head of zeros', frame('\0\0\0\0')],
    ['a head that is deep and never ends', frame(`{"ask":0,"name":"echo","head":${deep}`)],
    ['a question beyond its limit', frame({ ask: 0, name: 'small' }, Buffer.alloc(100))],
    ['a frame beyond all limits', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2])],
    ['a descriptor with an answer to nothing', frame({ answer: 0, fd: 0 })],
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ])('who sends %s is cut off, and nobody waits any longer', async (_, bytes) => {
    const slow = entry(() => new Promise(() => undefined))
    const { link, hostile } = await withHostile({ echo, slow, small: entry(() => undefined, 99) })
    const left = new Promise((resolve) => hostile.once('close', resolve))
    hostile.resume()
    hostile.write(bytes)
    await expect(link.closed).resolves.toMatchObject({ how: 'violation', why: expect.any(String) as unknown })
    await left
    await expect(link.ask('echo')).rejects.toMatchObject({ kind: 'unavailable' })
  })

  it('who answers what was asked with a descriptor where there is no way for one is cut off', async () => {
    const { link, hostile } = await withHostile()
    const asked = link.ask('open')
    readHeads(hostile, ({ ask }) => hostile.write(frame({ answer: ask, fd: 0 })))
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(link.closed).resolves.toMatchObject({ how: 'violation' })
  })

  it.each([
    ['an answer', { maxAnswerBytes: 100 }, (id: unknown) => frame({ answer: id }, Buffer.alloc(200))],
    ['a failure', { maxAnswerBytes: 200_000 }, (id: unknown) => frame({ failure: id, of: 'x'.repeat(100_000) })],
  ])('who sends %s that is too long is cut off', async (_, more, answer) => {
    const { link, hostile } = await withHostile({ echo }, more)
    const asked = link.ask('read')
    readHeads(hostile, ({ ask }) => hostile.write(answer(ask)))
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(link.closed).resolves.toMatchObject({ how: 'violation' })
  })

  it('who answers twice is cut off', async () => {
    const { link, hostile } = await withHostile()
    readHeads(hostile, ({ ask }) => hostile.write(Buffer.concat([frame({ answer: ask }), frame({ answer: ask })])))
    await link.ask('read')
    await expect(link.closed).resolves.toMatchObject({ how: 'violation' })
  })

  it('who answers a question that waits to be asked is cut off', async () => {
    const { link, hostile } = await withHostile()
    const all = Array.from({ length: maxUnanswered + 1 }, () => link.ask('read'))
    hostile.write(frame({ answer: maxUnanswered }))
    expect((await Promise.allSettled(all)).map(({ status }) => status)).not.toContain('fulfilled')
    await expect(link.closed).resolves.toMatchObject({ how: 'violation' })
  })

  it('who never answers is not asked for ever', async () => {
    const { link } = await withHostile()
    const all = Array.from({ length: maxUnanswered + maxHeld }, () => link.ask('read'))
    await expect(link.ask('read')).rejects.toMatchObject({ kind: 'unavailable' })
    link.close()
    expect((await Promise.allSettled(all)).map(({ status }) => status)).not.toContain('fulfilled')
  })

  it('who sends half a frame and falls silent holds up nobody for longer than they wait', async () => {
    const { link, hostile } = await withHostile()
    hostile.write(frame({ ask: 0, name: 'echo' }).subarray(0, 20))
    await expect(link.ask('read', {}, { timeoutMilliseconds: 20 })).rejects.toMatchObject({
      kind: 'unavailable',
      retryAfterSeconds: 1,
    })
    await expect(link.ask('read', {}, { signal: AbortSignal.timeout(20) })).rejects.toMatchObject({
      kind: 'incomplete',
    })
  })

  it('who leaves in the middle of a frame leaves nobody waiting', async () => {
    const { link, hostile } = await withHostile()
    const asked = link.ask('read')
    hostile.end(frame({ ask: 0, name: 'echo' }).subarray(0, 20))
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable' })
    await expect(link.closed).resolves.toEqual({ how: 'gone' })
  })

  it('who floods with questions is left unread', async () => {
    let running = 0
    const slow = entry(() => {
      running += 1
      return new Promise(() => undefined)
    })
    const { hostile, socket } = await withHostile({ slow })
    const question = frame({ ask: 0, name: 'slow', head: { x: 'x'.repeat(100) } }).length + 5
    for (let id = 0; id < 50_000; id++) hostile.write(frame({ ask: id, name: 'slow', head: { x: 'x'.repeat(100) } }))
    await until(() => socket.isPaused())
    for (let turn = 0; turn < 100; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(running).toBe(8)
    expect(socket.bytesRead).toBeLessThan((maxUnanswered + 8) * question + 1_000_000)
    expect(hostile.writableLength).toBeGreaterThan(0)
  })

  it('who floods with bytes is left unread', async () => {
    const slow = entry(() => new Promise(() => undefined))
    const { hostile, socket } = await withHostile({ slow })
    for (let id = 0; id < 100; id++) hostile.write(frame({ ask: id, name: 'slow' }, Buffer.alloc(500_000)))
    await until(() => socket.isPaused())
    expect(socket.bytesRead).toBeLessThan(2 * maxUnansweredBytes + 3_000_000)
  })

  it('who floods with long heads is left unread, though all that it asks is worked on', async () => {
    const slow = entry(() => new Promise(() => undefined))
    const { hostile, socket } = await withHostile({ slow }, { maxAtOnce: 1000 })
    const x = 'x'.repeat(500_000)
    for (let id = 0; id < 100; id++) hostile.write(frame({ ask: id, name: 'slow', head: { x } }))
    await until(() => socket.isPaused())
    expect(socket.bytesRead).toBeLessThan(2 * maxUnansweredBytes + 3_000_000)
  })

  it.each([
    ['questions', (id: number) => frame({ ask: id, name: 'count' })],
    ['what is to be given up', () => frame({ cancel: 0 })],
    ['what it tells', () => frame({ tell: 'count' })],
  ])('who floods with %s is read no faster than it may ask', async (_, made) => {
    const count = entry(() => undefined)
    const { hostile, socket, link } = await withHostile({ count }, { maxPerSecond: 400 })
    hostile.resume()
    const began = performance.now()
    hostile.write(frame({ ask: 0, name: 'count' }))
    for (let id = 1; id <= 300; id++) hostile.write(made(id))
    await until(() => socket.isPaused())
    readHeads(hostile, ({ ask }) => ask !== undefined && hostile.write(frame({ answer: ask })))
    await link.ask('read')
    // A hundred go at once.
    expect(performance.now() - began).toBeGreaterThan(400)
  })

  it('who floods with a few long questions is read no faster either', async () => {
    const { hostile, socket } = await withHostile({ echo }, { maxPerSecond: 400 })
    hostile.resume()
    for (let id = 0; id < 50; id++) hostile.write(frame({ ask: id, name: 'echo' }, Buffer.alloc(100_000)))
    await until(() => socket.isPaused())
    expect(socket.bytesRead).toBeLessThan(1_000_000)
  })

  it('who asks much and takes no answer is asked to take them first', async () => {
    const big = Buffer.alloc(500_000)
    let answered = 0
    const much = entry(() => {
      answered += 1
      return { bytes: big }
    })
    const { hostile, socket } = await withHostile({ much })
    hostile.pause()
    for (let id = 0; id < 1000; id++) hostile.write(frame({ ask: id, name: 'much' }))
    await until(() => socket.bytesRead >= 1000 * frame({ ask: 0, name: 'much' }).length)
    expect(answered).toBeLessThan(20)
    hostile.resume()
    await until(() => answered === 1000)
  })

  it('may say anything, and is either heeded or cut off', async () => {
    const value = fc.oneof(
      fc.constantFrom(0, 1, 2, 'echo', 'x', -1, null),
      fc.anything({ maxDepth: 1, withBigInt: false }),
    )
    const head = fc.record(
      { ask: value, name: value, tell: value, answer: value, failure: value, of: value, cancel: value, fd: value },
      { requiredKeys: [] },
    )
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      fc.uint8Array({ maxLength: 64 }).map((bytes) => frame(Buffer.from(bytes).toString('latin1'))),
      fc.tuple(head, fc.uint8Array({ maxLength: 64 })).map(([said, bytes]) => frame({ ...said }, bytes)),
      fc.nat(3).map((id) => frame({ ask: id, name: 'echo' })),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), async (pieces) => {
        const { link, hostile } = await withHostile()
        hostile.resume()
        const asked = link.ask('read').then(
          () => 'answered',
          (error: unknown) => error instanceof Failure && 'failed',
        )
        hostile.end(Buffer.concat(pieces))
        expect((await link.closed).how).toMatch(/^(?:violation|gone)$/)
        expect(await asked).toMatch(/^(?:answered|failed)$/)
        hostile.destroy()
      }),
    )
  })
})

describe('two links', () => {
  it('give each what the other says, heads and bytes', async () => {
    const { link } = await withHonest({ echo })
    const big = Buffer.alloc(300_000, 'ab')
    const all = [link.ask('echo', { a: 'ü\u2028' }), link.ask('echo', { b: 1 }, { bytes: big }), link.ask('echo')]
    const [one, two, three] = await Promise.all(all)
    expect(one).toMatchObject({ head: { a: 'ü\u2028' } })
    expect(two?.bytes.equals(big)).toBe(true)
    expect(three).toMatchObject({ head: {} })
    expect(three?.bytes).toHaveLength(0)
  })

  it('begin what is asked in its order, as many at once as is allowed, and answer all', async () => {
    const begun: unknown[] = []
    const waiting: (() => void)[] = []
    let most = 0
    const wait = entry(async ({ head }) => {
      begun.push(head['number'])
      await new Promise<void>((resolve) => waiting.push(resolve))
      most = Math.max(most, waiting.length)
      return head
    })
    const { link } = await withHonest({ wait }, { maxAtOnce: 3 })
    const numbers = Array.from({ length: 20 }, (_, number) => number)
    const all = Promise.all(numbers.map((number) => link.ask('wait', { number })))
    for (let done = 0; done < 20; done++) {
      await until(() => waiting.length > 0)
      waiting.pop()?.()
    }
    await all
    expect(begun).toEqual(numbers)
    expect(most).toBeLessThanOrEqual(3)
  })

  it('carry more questions, and more bytes, than may be unanswered', async () => {
    const count = entry(({ bytes }) => ({ head: { length: bytes.length } }))
    const { link } = await withHonest({ count })
    const bytes = Buffer.alloc(400_000)
    const many = Array.from({ length: maxUnanswered * 2 }, () => link.ask('count'))
    const much = Array.from({ length: 60 }, () => link.ask('count', {}, { bytes }))
    expect(await Promise.all(many)).toHaveLength(many.length)
    for (const { head } of await Promise.all(much)) expect(head).toEqual({ length: 400_000 })
  })

  it('hold back nothing but what goes beyond: bytes longer than all that may be unanswered are asked alone', async () => {
    const count = entry(({ bytes }) => ({ head: { length: bytes.length } }), maxUnansweredBytes * 2)
    const { link } = await withHonest({ count })
    const bytes = Buffer.alloc(maxUnansweredBytes + 1)
    const both = await Promise.all([1, 2].map(() => link.ask('count', {}, { bytes })))
    expect(both.map(({ head }) => head)).toEqual([{ length: bytes.length }, { length: bytes.length }])
  })

  it('ask each other in turn, though each takes no more than one question', async () => {
    const back: { link?: Link } = {}
    const ask = entry(async () => (await back.link?.ask('echo', { from: 'below' })) ?? {})
    const { link, other } = await withHonest({ ask }, { maxAtOnce: 1 }, { echo })
    back.link = other
    const all = Array.from({ length: 50 }, () => link.ask('ask'))
    for (const { head } of await Promise.all(all)) expect(head).toEqual({ from: 'below' })
  })

  it('tell without an answer, in order with what is asked', async () => {
    const told: unknown[] = []
    const note = entry(({ head }) => {
      told.push(head['number'])
      return undefined
    })
    const { link } = await withHonest({ note })
    for (let number = 0; number < 20; number++) link.tell('note', { number })
    await link.ask('note', { number: 20 })
    expect(told).toEqual(Array.from({ length: 21 }, (_, number) => number))
  })

  it('carry failures, and of faults nothing but that there was one', async () => {
    const faults: unknown[] = []
    const fault = new TypeError('a secret')
    const table: Table = {
      refuse: entry(() => Promise.reject(new Failure('denied', 'Not you.'))),
      refuseAtOnce: entry(() => {
        throw new Failure('denied', 'Not you.')
      }),
      fail: entry(() => Promise.reject(fault)),
      unsaid: entry(() => ({ head: { number: 1n } })),
      echo,
    }
    const onFault = (error: unknown, name: string): void => void faults.push([name, error])
    const { link } = await withHonest(table, { onFault })
    await expect(link.ask('refuse')).rejects.toMatchObject({ kind: 'denied', message: 'Not you.' })
    await expect(link.ask('refuseAtOnce')).rejects.toMatchObject({ kind: 'denied', message: 'Not you.' })
    const failed: unknown = await link.ask('fail').catch((error: unknown) => error)
    expect(failed).toMatchObject({ kind: 'unavailable' })
    expect(String(failed)).not.toContain('secret')
    await expect(link.ask('unsaid')).rejects.toMatchObject({ kind: 'unavailable' })
    expect(faults).toEqual([
      ['fail', fault],
      ['unsaid', expect.any(TypeError)],
    ])
    await expect(link.ask('echo', { still: 'there' })).resolves.toMatchObject({ head: { still: 'there' } })
  })

  it('say when nobody waits any more, to what is under way and to what has not begun', async () => {
    const reasons: unknown[] = []
    let begun = 0
    const wait = entry(({ signal }) => {
      begun += 1
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          reasons.push(signal.reason)
          resolve(undefined)
        })
      })
    })
    const { link } = await withHonest({ wait, echo }, { maxAtOnce: 1 })
    const [one, two] = [new AbortController(), new AbortController()]
    const first = link.ask('wait', {}, { signal: one.signal })
    const second = link.ask('wait', {}, { signal: two.signal })
    const third = link.ask('echo', { third: true })
    await until(() => begun === 1)
    two.abort(new Failure('timeout', 'Too late.'))
    await expect(second).rejects.toMatchObject({ kind: 'timeout' })
    one.abort()
    await expect(first).rejects.toMatchObject({ kind: 'incomplete' })
    await expect(third).resolves.toMatchObject({ head: { third: true } })
    expect(begun).toBe(1)
    expect(reasons).toEqual([expect.any(Failure)])
  })

  it('do not ask at all what was given up before', async () => {
    let asked = 0
    const count = entry(() => {
      asked += 1
      return undefined
    })
    const { link } = await withHonest({ count })
    await expect(link.ask('count', {}, { signal: AbortSignal.abort() })).rejects.toMatchObject({ kind: 'incomplete' })
    await link.ask('count')
    expect(asked).toBe(1)
  })

  it('end together: whoever waits hears of it, and what was told before arrives', async () => {
    const told: unknown[] = []
    let signal: AbortSignal | undefined
    const wait = entry((asked) => {
      signal = asked.signal
      return new Promise(() => undefined)
    })
    const { link, other } = await withHonest({ wait, note: entry(({ head }) => void told.push(head)) })
    const asked = link.ask('wait')
    await until(() => signal !== undefined)
    link.tell('note', { last: 'words' })
    link.close()
    await expect(asked).rejects.toMatchObject({ kind: 'unavailable', retryAfterSeconds: 1 })
    await expect(link.closed).resolves.toEqual({ how: 'closed' })
    await expect(other.closed).resolves.toEqual({ how: 'gone' })
    expect(told).toEqual([{ last: 'words' }])
    expect(signal?.aborted).toBe(true)
    await expect(other.ask('echo')).rejects.toMatchObject({ kind: 'unavailable' })
    other.tell('note', {})
  })

  it('end at once over a socket that is closed already', async () => {
    const [one] = await socketPair()
    const closed = new Promise((resolve) => one.once('close', resolve))
    one.destroy()
    await closed
    await expect(openLink(one, settings({})).closed).resolves.toEqual({ how: 'gone' })
  })
})

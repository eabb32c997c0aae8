import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import { memoryNotes, type Notes } from '../../store/local/notes.js'
import { type Front, frontOf, socketPair } from '../../../test/worker-pair.js'
import { encodeKnown } from '../known.js'
import { type Head, type Link, openLink, type Table } from '../wire/link.js'
import { assembleRemote } from './assemble.js'
import { digestRemote } from './digest.js'
import { boundedNotes } from './notes-bounded.js'
import { RemotePartRooms } from './parts.js'
import { writeRemote } from './write.js'

const p = toPath
const bytes = Buffer.from('four')

/** What an honest process would say of a new file of four bytes. */
const honest = {
  kind: 1,
  mode: 0o100644,
  size: 4,
  links: 1,
  uid: 1000,
  gid: 1000,
  device: 0,
  inode: 'abc',
  born: 'toxq9h.0',
  modified: 'toxq9h.1',
  changed: 'toxq9h.2',
  modifiedMilliseconds: 0,
  bornMilliseconds: 0,
}
const told = encodeKnown(honest)

async function* body(...chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* chunks
}

async function kindOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'none'
  } catch (error) {
    return isFailure(error) ? error.kind : String(error)
  }
}

describe('a process of a user that breaks the rules', () => {
  let links: Link[]
  let notes: Notes

  beforeEach(() => {
    links = []
    notes = memoryNotes()
  })

  afterEach(() => {
    for (const link of links) link.close()
  })

  /** The front of a process that answers so; everything else it answers with nothing. */
  async function against(script: (ask: Link['ask']) => Table): Promise<Front> {
    const [one, other] = await socketPair()
    const plain: Table = Object.fromEntries(
      ['write-begin', 'write-open', 'write-append', 'write-next', 'write-commit', 'write-abort'].map((name) => [
        name,
        { maxBytes: 1_000_000, handle: () => ({}) },
      ]),
    )
    const link: Link = openLink(other, {
      table: { ...plain, ...script((name, head) => link.ask(name, head)) },
      maxAnswerBytes: 100_000,
      maxAtOnce: 100,
    })
    const front = frontOf(one, { notes })
    links.push(link, front.link)
    return front
  }

  const answering = (name: string, head: unknown): Promise<Front> =>
    against(() => ({ [name]: { maxBytes: 1_000_000, handle: () => ({ head: head as Head }) } }))

  it.each<[string, unknown]>([
    ['nothing', {}],
    ['no list', { known: 'x', created: true }],
    ['too little', { known: told.slice(1), created: true }],
    ['too much', { known: [...told, 1], created: true }],
    ['another size', { known: encodeKnown({ ...honest, size: 5 }), created: true }],
    ['a negative size', { known: encodeKnown({ ...honest, size: -4 }), created: true }],
    ['a directory', { known: encodeKnown({ ...honest, kind: 2 }), created: true }],
    ['a link', { known: encodeKnown({ ...honest, kind: 3 }), created: true }],
    ['a number that is none', { known: encodeKnown({ ...honest, device: 0.5 }), created: true }],
    ['text for a number', { known: told.with(1, '0'), created: true }],
    ['an odd inode', { known: encodeKnown({ ...honest, inode: 'a"b' }), created: true }],
    ['a long inode', { known: encodeKnown({ ...honest, inode: 'a'.repeat(20) }), created: true }],
    ['a time that is none', { known: encodeKnown({ ...honest, modified: 'now' }), created: true }],
    ['a time beyond all times', { known: encodeKnown({ ...honest, modified: 'zzzzzzzzz.0' }), created: true }],
    ['no word whether it is new', { known: told }],
  ])('says of the new file: %s', async (_, head) => {
    const { mount, distrusted } = await answering('write-commit', head)
    expect(await kindOf(writeRemote(mount, p('/f'), body(bytes)))).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  const committing = (before: (ask: Link['ask'], op: unknown) => Promise<unknown>): Promise<Front> =>
    against((ask) => ({
      'write-commit': {
        maxBytes: 1_000_000,
        async handle({ head }) {
          await before(ask, head.op)
          return { head: { known: told, created: true } }
        },
      },
    }))

  it.each<[string, (ask: Link['ask'], op: unknown) => Promise<unknown>]>([
    ['without the last word', async () => undefined],
    ['after a refusal of what was not said', (ask, op) => ask('before-commit', { op: String(op) }).catch(() => 0)],
    ['of another size', (ask, op) => ask('before-commit', { op, size: 5, digests: {}, known: told }).catch(() => 0)],
    ['of no size', (ask, op) => ask('before-commit', { op, digests: {}, known: told }).catch(() => 0)],
    [
      'with digests that are none',
      (ask, op) => ask('before-commit', { op, size: 4, digests: { md5: 'x' } }).catch(() => 0),
    ],
    ['without a word of the file', (ask, op) => ask('before-commit', { op, size: 4, digests: {} }).catch(() => 0)],
    [
      'asked twice',
      async (ask, op) => {
        const head = { op, size: 4, digests: {}, known: told }
        await ask('before-commit', head)
        await ask('before-commit', head).catch(() => 0)
      },
    ],
  ])('gives the file its name %s', async (_, before) => {
    const { mount } = await committing(before)
    const write = writeRemote(mount, p('/f'), body(bytes), {
      attributes: { a: 'b' },
      beforeCommit: async () => undefined,
    })
    expect(await kindOf(write)).toBe('unavailable')
    expect(await notes.count?.(10)).toBe(0)
  })

  it('asks for the last word before the body has come', async () => {
    let judged = 0
    const { mount } = await against((ask) => ({
      'write-begin': {
        maxBytes: 10_000,
        async handle({ head: { op } }) {
          await ask('before-commit', { op, size: 4, digests: {}, known: told }).catch(() => 0)
          return {}
        },
      },
      'write-commit': { maxBytes: 10_000, handle: () => ({ head: { known: told, created: true } }) },
    }))
    const beforeCommit = async (): Promise<void> => {
      judged++
    }
    const options = { attributes: { a: 'b' }, beforeCommit }
    expect(await kindOf(writeRemote(mount, p('/f'), body(bytes), options))).toBe('unavailable')
    expect([judged, await notes.count?.(10)]).toEqual([0, 0])
  })

  it('gives the file its name although that was refused, and the refusal stands', async () => {
    const { mount } = await committing((ask, op) =>
      ask('before-commit', { op, size: 4, digests: {}, known: told }).catch(() => 0),
    )
    const refused = new Error('not now')
    const beforeCommit = async (): Promise<void> => Promise.reject(refused)
    await expect(writeRemote(mount, p('/f'), body(bytes), { attributes: { a: 'b' }, beforeCommit })).rejects.toBe(
      refused,
    )
    expect(await notes.count?.(10)).toBe(0)
  })

  it.each([{}, { op: 1 }, { op: -1 }, { op: 'x' }, { op: null }])(
    'asks for a last word that nobody has: %j',
    async (head) => {
      const { link } = await against(() => ({}))
      const [one] = links
      expect(await kindOf(one?.ask('before-commit', head) ?? Promise.resolve())).toBe('conflict')
      link.close()
    },
  )

  it.each<[string, unknown]>([
    ['nothing', {}],
    ['another size', { place: 'p1-0', size: 5 }],
    ['a long place', { place: 'p'.repeat(101), size: 4 }],
    ['an odd place', { place: 'p\n', size: 4 }],
  ])('says of a part: %s', async (_, head) => {
    const { mount, distrusted } = await against(() => ({
      'parts-begin': { maxBytes: 10_000, handle: () => ({}) },
      'parts-from': { maxBytes: 10_000, handle: () => ({ head: { digests: {}, ...(head as Head) } }) },
      'write-commit': { maxBytes: 10_000, handle: () => ({ head: head as Head }) },
    }))
    expect(await kindOf(new RemotePartRooms(mount).put('r', 1, body(bytes)))).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  it.each<[string, string, unknown]>([
    ['a room without a name', 'parts-open', { room: '../x' }],
    ['no room', 'parts-open', {}],
  ])('makes %s', async (_, name, head) => {
    const { mount, distrusted } = await answering(name, head)
    expect(await kindOf(new RemotePartRooms(mount).open(p('/f')))).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  it.each<[string, unknown]>([
    ['nothing', {}],
    ['the same for ever', { rooms: [['a', 1]] }],
    [
      'without order',
      {
        rooms: [
          ['b', 1],
          ['a', 1],
        ],
      },
    ],
    ['without times', { rooms: [['b', null]] }],
    ['no names', { rooms: [['B/..', 1]] }],
  ])('lists rooms: %s', async (_, head) => {
    const { mount, distrusted } = await answering('parts-list', head)
    const all = async (): Promise<void> => {
      for await (const rooms of new RemotePartRooms(mount).list()) expect(rooms).not.toEqual([])
    }
    expect(await kindOf(all())).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  it.each<[string, unknown]>([
    ['none', {}],
    ['others', { digests: { sha1: Buffer.alloc(20).toString('base64') } }],
    ['short ones', { digests: { md5: 'AAAA' } }],
    ['unknown ones', { digests: { md5: Buffer.alloc(16).toString('base64'), __proto__x: 'AAAA' } }],
  ])('computes digests: %s', async (_, head) => {
    const { mount, distrusted } = await answering('digest', head)
    expect(await kindOf(digestRemote(mount, async () => undefined, p('/f'), ['md5']))).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  it('says of a file made of pieces that it is shorter', async () => {
    const { mount, distrusted } = await answering('assemble-begin', { known: told, created: true, digests: {} })
    const pieces = [{ from: p('/g'), range: { start: 0, end: 5 } }]
    expect(await kindOf(assembleRemote(mount, p('/f'), pieces))).toBe('unavailable')
    expect(distrusted).toHaveLength(1)
  })

  it('notes what is none', async () => {
    await against(() => ({}))
    const [worker] = links
    const digests = { md5: Buffer.alloc(16).toString('base64') }
    for (const [name, head] of [
      ['note', {}],
      ['note', { of: told, known: [] }],
      ['note', { of: told, known: told, attributes: 'x' }],
      ['note', { of: told, known: told, attributes: { a: 1 } }],
      ['note', { of: told, known: told, attributes: ['x'] }],
      ['note', { of: told, known: told, attributes: { 'content-type': 'text/html\r\nset-cookie: x' } }],
      ['note', { of: told, known: told, attributes: { 'x-amz-meta-a\r\nset-cookie': 'x' } }],
      ['note-digests', { known: told, digests: { md5: '' } }],
      ['note-digests', { known: 1, digests }],
      ['note-forget', { known: [1] }],
    ] as const)
      expect([name, head, await kindOf(worker?.ask(name, head) ?? Promise.resolve())]).toEqual([name, head, 'invalid'])
    const large = { of: told, known: told, attributes: { a: 'x'.repeat(40_000) } }
    expect(await kindOf(worker?.ask('note', large) ?? Promise.resolve())).toBe('too-large')
    expect(await notes.count?.(10)).toBe(0)
    await worker?.ask('note-digests', { known: told, digests })
    expect(await notes.count?.(10)).toBe(1)
  })
})

describe('notes of a user', () => {
  it('have an end', async () => {
    const all = memoryNotes()
    const bounded = boundedNotes(all, { mostNotes: 10, uncounted: 4 })
    const value = Buffer.from('x')
    for (let index = 0; index < 10; index++) await bounded.put(String(index), value)
    expect(await kindOf(bounded.put('more', value))).toBe('no-space')
    expect(await kindOf(bounded.update?.('more', () => value) ?? Promise.resolve())).toBe('no-space')
    expect(await kindOf(Promise.all(Array.from({ length: 20 }, (_, index) => bounded.put(`m${index}`, value))))).toBe(
      'no-space',
    )
    expect(await all.count?.(100)).toBe(10)
    expect(await kindOf(bounded.put('long', Buffer.alloc(70_000)))).toBe('too-large')
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FrameReader, FrameWriter, prefixBytes } from './frames.js'

interface Frame {
  readonly head: string
  readonly bytes: Buffer
}

const maxBytes = 100_000

/** What a reader makes of these pieces: whole frames, and the rule that was broken. */
function read(pieces: readonly Buffer[], take: (frame: Frame) => boolean = () => true) {
  const frames: Frame[] = []
  const reader = new FrameReader(maxBytes, (head, bytes) => {
    const frame = { head: head.toString(), bytes: Buffer.from(bytes) }
    frames.push(frame)
    return take(frame)
  })
  for (const piece of pieces) {
    const broken = reader.read(piece)
    if (broken !== undefined) return { frames, broken }
  }
  return { frames, broken: undefined }
}

/** What a writer has written, each in a piece of its own. */
function write(frames: readonly Frame[], flushed = (): boolean => false): Buffer[] {
  const pieces: Buffer[] = []
  const writer = new FrameWriter({
    write: (bytes) => pieces.push(Buffer.from(bytes)),
    cork: () => undefined,
    uncork: () => undefined,
  })
  for (const { head, bytes } of frames) {
    writer.write(head, bytes)
    if (flushed()) writer.flush()
  }
  writer.flush()
  return pieces
}

function prefix(length: number, headLength: number): Buffer {
  const bytes = Buffer.alloc(prefixBytes)
  bytes.writeUInt32BE(length, 0)
  bytes.writeUInt32BE(headLength, 4)
  return bytes
}

/** The same bytes, cut into pieces of these lengths, over and over. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? bytes.length
    pieces.push(bytes.subarray(at, at + length))
    at += length
  }
  return pieces
}

describe('a reader of frames', () => {
  it.each([
    ['a frame longer than the limit', prefix(maxBytes + 1, 2)],
    ['the longest frame that can be said', prefix(0xffff_ffff, 2)],
    ['a head longer than its frame', prefix(10, 11)],
    ['the longest head that can be said', prefix(10, 0xffff_ffff)],
    ['a frame without a head', prefix(10, 0)],
    ['a frame of nothing', prefix(0, 0)],
  ])('refuses %s by its first eight bytes, and waits for no more', (_, bytes) => {
    expect(read([bytes]).broken).toBeDefined()
    expect(read(cut(bytes, [1])).broken).toBeDefined()
  })

  it('gives nothing of half a frame', () => {
    const whole = Buffer.concat([prefix(6, 2), Buffer.from('{}abcd')])
    for (let length = 0; length < whole.length; length++)
      expect(read([whole.subarray(0, length)])).toEqual({ frames: [], broken: undefined })
  })

  it('gives none of what follows once nobody wants it', () => {
    const bytes = Buffer.concat(write([1, 2, 3].map((number) => ({ head: `{"n":${number}}`, bytes: Buffer.alloc(0) }))))
    for (const pieces of [[bytes], cut(bytes, [9])])
      expect(read(pieces, () => false).frames.map(({ head }) => head)[0]).toBe('{"n":1}')
    expect(read([bytes], () => false).frames).toHaveLength(1)
  })

  it('hands on what came in one piece without copying it', () => {
    const piece = Buffer.concat([prefix(6, 2), Buffer.from('{}abcd')])
    let got: Buffer | undefined
    new FrameReader(maxBytes, (_, bytes) => {
      got = bytes
      return true
    }).read(piece)
    piece.write('A', prefixBytes + 2)
    expect(got?.toString()).toBe('Abcd')
  })

  it('takes any bytes without throwing, and gives no more than came', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.integer({ min: 1, max: 40 })), (bytes, lengths) => {
        const { frames } = read(cut(Buffer.from(bytes), lengths))
        const given = frames.reduce(
          (sum, { head, bytes }) => sum + prefixBytes + Buffer.byteLength(head) + bytes.length,
          0,
        )
        // A head that is no UTF-8 grows when it is read as such.
        expect(given).toBeLessThanOrEqual(bytes.length * 3)
      }),
    )
  })

  it('takes frames whose lengths lie, without throwing', () => {
    const lying = fc
      .tuple(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 50 }), fc.uint8Array({ maxLength: 40 }))
      .map(([length, head, bytes]) => Buffer.concat([prefix(length, head), bytes]))
    fc.assert(
      fc.property(fc.array(lying, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 20 })), (all, lengths) => {
        const bytes = Buffer.concat(all)
        const { frames, broken } = read(cut(bytes, lengths))
        expect(read([bytes])).toEqual({ frames, broken })
      }),
    )
  })
})

describe('frames', () => {
  const frame = fc.record({
    head: fc.oneof(
      fc.json(),
      fc.string({ unit: 'binary', minLength: 1 }).map((text) => JSON.stringify(text)),
      fc.integer({ min: 16_000, max: 17_000 }).map((length) => JSON.stringify('é'.repeat(length))),
    ),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
      fc.integer({ min: 16_380, max: 16_390 }).map((length) => Buffer.alloc(length, length)),
    ),
  })

  it('are read as they were written, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(frame, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1 }),
        fc.array(fc.boolean(), { minLength: 1 }),
        (frames, lengths, flushes) => {
          let turn = 0
          const bytes = Buffer.concat(write(frames, () => flushes[turn++ % flushes.length] === true))
          const { frames: got, broken } = read(cut(bytes, lengths))
          expect(broken).toBeUndefined()
          expect(got.map(({ head }) => head)).toEqual(frames.map(({ head }) => head))
          // Much faster than to compare them one by one.
          expect(got.every((frame, index) => frames[index]?.bytes.equals(frame.bytes))).toBe(true)
        },
      ),
    )
  })

  it('of one turn go out in one piece, and one that is flushed is not written over', () => {
    const small = { head: '{"a":1}', bytes: Buffer.from('abc') }
    expect(write([small, small, small])).toHaveLength(1)
    expect(read(write([small, small, small], () => true)).frames).toEqual([small, small, small])
  })

  it('tells how much waits to be written', () => {
    const writer = new FrameWriter({ write: () => true, cork: () => undefined, uncork: () => undefined })
    writer.write('{}', Buffer.alloc(100_000))
    expect(writer.waiting).toBe(prefixBytes + 2 + 100_000)
    writer.flush()
    expect(writer.waiting).toBe(0)
  })
})

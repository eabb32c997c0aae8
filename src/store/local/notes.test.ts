import { describe, expect, it } from 'vitest'
import type { Known } from './facts.js'
import { memoryNotes, NoteBook } from './notes.js'
import { fileKind } from '../native.js'

const seconds = 1_700_000_000
const digests = { md5: new Uint8Array(16).fill(7) }
const attributes = { a: 'b' }

/** A file that last changed so many milliseconds after it was staged. */
function file(changedMilliseconds: number, other: Partial<Known> = {}): Known {
  const at = 990 + changedMilliseconds
  const changed = `${(seconds + Math.floor(at / 1000)).toString(36)}.${((at % 1000) * 1e6).toString(36)}`
  const modified = `${seconds.toString(36)}.abc`
  return {
    kind: fileKind,
    mode: 0o644,
    size: 5,
    links: 1,
    uid: 0,
    gid: 0,
    device: 1,
    inode: 'i',
    born: '1.0',
    modified,
    changed,
    modifiedMilliseconds: seconds * 1000,
    bornMilliseconds: 1000,
    ...other,
  }
}

describe('a note made of a staged file', () => {
  it.each([
    ['named at once', file(0), { attributes, digests }],
    ['named in the next second, but soon', file(50), { attributes, digests }],
    ['named later', file(51), { attributes }],
    ['seen after the clock was set back', file(-1), { attributes }],
    ['changed since', file(1, { modified: `${seconds.toString(36)}.abd` }), {}],
    ['of another size', file(1, { size: 6 }), {}],
    ['whose inode came again', file(1, { born: '2.0' }), {}],
  ])('tells of one %s only what is sure', async (_, known, expected) => {
    const book = new NoteBook(memoryNotes(), 1)
    await book.write(file(0), { digests, attributes }, false)
    expect(await book.read(known)).toEqual(expected)
    expect(await book.readMany([known, file(0, { inode: 'j' }), known])).toEqual([expected, {}, expected])
  })

  it('gives way to one of the file that has its name, which holds for that moment only', async () => {
    const book = new NoteBook(memoryNotes(), 1)
    await book.write(file(0), { digests, attributes }, false)
    await book.write(file(70), { digests, attributes }, true)
    expect(await book.read(file(70))).toEqual({ digests, attributes })
    for (const other of [0, 69, 71]) expect(await book.read(file(other))).toEqual({ attributes })
  })
})

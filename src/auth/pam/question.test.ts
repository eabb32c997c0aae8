import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { answerFrame, maxAnswerBytes, questionFrame, readAnswer, readQuestion } from './question.js'
import type { PamAnswer, PamQuestion } from './question.js'

const rules = { minimumUid: 1000, allowedUsers: [], allowedGroups: [], deniedUsers: [], deniedGroups: [] }
const question: PamQuestion = { ask: 'login', service: 'postern', user: 'alice', rules, stampKey: 'a2V5' }

const account = {
  name: 'alice',
  uid: 1001,
  gid: 1001,
  groups: ['alice', '50'],
  groupIds: [1001, 50],
  home: '/home/alice',
  expired: false,
}

const framed = (text: string): Buffer => {
  const head = Buffer.alloc(4)
  head.writeUInt32BE(Buffer.byteLength(text))
  return Buffer.concat([head, Buffer.from(text)])
}

describe('frames', () => {
  it('carry every question and password', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.string({ unit: 'grapheme', maxLength: 500 }),
        (user, password) => {
          const frame = questionFrame({ ...question, user }, password)
          expect(frame.readUInt32BE(0)).toBe(frame.length - 4)
          const read = readQuestion(frame.subarray(4))
          expect(read.question).toEqual({ ...question, user })
          expect(read.password.toString()).toBe(password)
        },
      ),
    )
  })

  it('carry every answer, and are none before they are whole', () => {
    const answers: readonly PamAnswer[] = [
      { kind: 'accepted', name: 'alice', groups: ['a', 'ü'], stamp: 's' },
      { kind: 'unknown' },
      { kind: 'refused', why: 'locked' },
      { kind: 'failed', why: 'x' },
      { kind: 'stamp', stamp: 's' },
      { kind: 'account', account },
    ]
    for (const answer of answers) {
      const frame = answerFrame(answer)
      for (let length = 0; length < frame.length; length += 1)
        expect(readAnswer(frame.subarray(0, length))).toBeUndefined()
      expect(readAnswer(frame)).toEqual(answer)
      expect(readAnswer(Buffer.concat([frame, Buffer.from('x')]))).toBe('nonsense')
    }
  })

  it.each([
    '',
    '{',
    'null',
    '[]',
    '"accepted"',
    '{"kind":"root"}',
    '{"kind":"refused"}',
    '{"kind":"refused","why":7}',
    '{"kind":"stamp"}',
    '{"kind":"account"}',
    '{"kind":"account","account":null}',
    ...Object.keys(account).map((left) =>
      JSON.stringify({ kind: 'account', account: { ...account, [left]: undefined } }),
    ),
    ...[-1, 1.5, 2 ** 32, '0', null].flatMap((id) =>
      [{ uid: id }, { gid: id }, { groupIds: [50, id] }].map((wrong) =>
        JSON.stringify({ kind: 'account', account: { ...account, ...wrong } }),
      ),
    ),
    '{"kind":"accepted"}',
    '{"kind":"accepted","name":"alice","stamp":"s"}',
    '{"kind":"accepted","name":"","groups":[],"stamp":"s"}',
    '{"kind":"accepted","name":"alice","groups":[1],"stamp":"s"}',
    '{"kind":"accepted","name":"alice","groups":{"length":0},"stamp":"s"}',
    '{"kind":"accepted","name":"alice","groups":[]}',
    '{"kind":"accepted","name":["alice"],"groups":[],"stamp":"s"}',
  ])('are nonsense where they hold %s', (text) => {
    expect(readAnswer(framed(text))).toBe('nonsense')
  })

  it('are nonsense from the head on where they are too long', () => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(maxAnswerBytes + 1)
    expect(readAnswer(head)).toBe('nonsense')
  })

  it('let nothing in that is made at random', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const answer = readAnswer(Buffer.from(bytes))
        expect(answer === undefined || answer === 'nonsense').toBe(true)
      }),
    )
  })
})

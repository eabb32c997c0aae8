import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseHtpasswd } from './htpasswd-file.js'

const sha1 = '{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='
const apr1 = '$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0'
const bcrypt = '$2y$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC'

const users = (text: string): Record<string, string> => Object.fromEntries(parseHtpasswd(text).facts?.users ?? [])

describe('lines of an htpasswd file', () => {
  it.each([
    ['nothing', '', {}],
    ['blank lines and comments', `\n  \n# alice:${sha1}\n\t\n`, {}],
    ['two users', `alice:${sha1}\nbob:${apr1}\n`, { alice: sha1, bob: apr1 }],
    ['no line break at the end', `alice:${sha1}`, { alice: sha1 }],
    ['line ends of Windows', `alice:${sha1}\r\n# x\r\nbob:${apr1}\r\n`, { alice: sha1, bob: apr1 }],
    ['the first of a name', `alice:${sha1}\nalice:${apr1}\n`, { alice: sha1 }],
    ['the first of a name in another form', `jos\u00e9:${sha1}\njose\u0301:${apr1}\n`, { 'jos\u00e9': sha1 }],
    ['more behind the hash', `alice:${sha1}:Alice:x\n`, { alice: sha1 }],
    ['odd names', `__proto__x:${sha1}\na b:${sha1}\n../x:${sha1}\n`, { __proto__x: sha1, 'a b': sha1, '../x': sha1 }],
    ['a name with spaces around it', ` alice :${sha1}\n`, { ' alice ': sha1 }],
    ['no name, no colon, no UTF-8', `:${sha1}\nalice\n\uFFFDx:${sha1}\n`, {}],
    ['hashes that are not understood', 'alice:secret\nbob:\n', { alice: 'secret', bob: '' }],
  ])('%s', (_what, text, expected) => {
    expect(users(text)).toEqual(expected)
  })

  it('are named to the owner, never with what is in them', () => {
    const { problems } = parseHtpasswd(`alice:my-secret\nalice:${sha1}\n:${sha1}\nno colon\n`)
    expect(problems.map(({ line }) => line)).toEqual([1, 2, 3, 4])
    expect(JSON.stringify(problems)).not.toMatch(/my-secret|5en6|alice/)
  })

  it('may stop in the middle', () => {
    const text = `alice:${sha1}\nbob:${bcrypt}`
    for (let length = 0; length <= text.length; length++) {
      const { facts, unfinished } = parseHtpasswd(text.slice(0, length))
      const whole = length === 0 || length === text.length || (length >= 39 && length <= 40)
      expect([text.slice(0, length), unfinished === undefined]).toEqual([text.slice(0, length), whole])
      for (const [name, hash] of facts?.users ?? [])
        expect(text.startsWith(`${name}:${hash}`) || text.includes(`\n${name}:${hash}`)).toBe(true)
    }
  })

  it('know the dearest hash', () => {
    expect(parseHtpasswd(`a:${sha1}\nb:${bcrypt}\nc:${apr1}\n`).facts?.dearest).toBe(bcrypt)
    expect(parseHtpasswd('a:nothing\n').facts?.dearest).toBeUndefined()
  })

  it('never throw', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', ':', '\n', '\r', '#', '$', '\uFFFD', ' ') }), (text) => {
        for (const name of parseHtpasswd(text).facts?.users.keys() ?? []) expect(name).not.toMatch(/[:\n]|^$|^#/)
      }),
    )
  })
})

import { describe, expect, it } from 'vitest'
import type { Mint } from './minted.js'
import { accessKeyIds, idOfToken, keyIds, secrets, tokens } from './minted.js'

const mints: readonly (readonly [string, Mint, RegExp])[] = [
  ['key ids', keyIds, /^pstnk_[0-9A-Za-z]{20}$/],
  ['secrets', secrets, /^pstns_[0-9A-Za-z]{34}$/],
  ['tokens', tokens, /^pstnt_[0-9A-Za-z]{48}$/],
  ['access key ids', accessKeyIds, /^PSTN[A-Z2-7]{16}$/],
]

describe.each(mints)('%s', (_name, mint, looks) => {
  it('have the form that the documentation tells scanners of, and are all different', () => {
    const made = Array.from({ length: 500 }, () => mint.make())
    for (const text of made) expect(text).toMatch(looks)
    expect(new Set(made).size).toBe(500)
    expect(made.every((text) => mint.made(text))).toBe(true)
  })

  it('are told from everything that only looks like them', () => {
    const text = mint.make()
    for (let at = 0; at < text.length; at += 1) {
      const other = text[at] === 'A' ? 'B' : 'A'
      expect(mint.made(text.slice(0, at) + other + text.slice(at + 1))).toBe(false)
    }
    for (const other of ['', text.slice(1), text.slice(0, -1), `${text}A`, ` ${text}`, text.toLowerCase(), `${text}\n`])
      expect([other, mint.made(other)]).toEqual([other, false])
    for (const [, another] of mints) if (another !== mint) expect(another.made(text)).toBe(false)
  })
})

it('tells the form by one example for each, so that it does not change unseen', () => {
  expect(keyIds.made('pstnk_Wmlb9k5OS11okK0vupGe')).toBe(true)
  expect(secrets.made('pstns_xWCl3g67tlzJTkJcaKF90aiLYzBl1pbizw')).toBe(true)
  expect(tokens.made('pstnt_oRf05OtiamOWiDIxcaCFdRrhZ0aX4LoSjqh2nmCEBw41Q3OK')).toBe(true)
  expect(accessKeyIds.made('PSTNG53YJHVDRO7Q3HYK')).toBe(true)
  expect(idOfToken('pstnt_oRf05OtiamOWiDIxcaCFdRrhZ0aX4LoSjqh2nmCEBw41Q3OK')).toBe('pstnt_oRf05OtiamOW')
})

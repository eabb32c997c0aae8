import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { verifySha3 } from './sha3.js'

const known = '1695ada822e61754dd50d5c1300a867c0562012cb88d8cc6d7ae8303f73593b1'
const sha3 = (text: string): string => createHash('sha3-256').update(text).digest('hex')
const salt = 'f'.repeat(64)

describe('what opens nothing', () => {
  it.each([
    ['another password', known, undefined, 'abcde12346'],
    ['no password', known, undefined, ''],
    ['the hash itself', known, undefined, known],
    ['upper-case hex', known.toUpperCase(), undefined, 'abcde12345'],
    ['a hash cut short', known.slice(0, 63), undefined, 'abcde12345'],
    ['a hash with more behind it', known + '0', undefined, 'abcde12345'],
    ['a hash with a line break', known + '\n', undefined, 'abcde12345'],
    ['another letter in the hash', 'g' + known.slice(1), undefined, 'abcde12345'],
    ['an empty hash', '', undefined, ''],
    ['no hash', undefined, undefined, 'abcde12345'],
    ['no hash and no password', undefined, undefined, ''],
    ['a salted hash without its salt', sha3(salt + 'secret'), undefined, 'secret'],
    ['an unsalted hash with a salt', sha3('secret'), salt, 'secret'],
    ['the salt behind the password', sha3('secret' + salt), salt, 'secret'],
    ['a password over 1,024 bytes', sha3('é'.repeat(513)), undefined, 'é'.repeat(513)],
    ['a salt over 1,024 bytes', sha3('s'.repeat(1025) + 'secret'), 's'.repeat(1025), 'secret'],
  ])('%s', (_what, stored, withSalt, password) => {
    expect(verifySha3(stored, withSalt, password)).toBe(false)
  })
})

describe('what is right', () => {
  it('the vector of the users table', () => {
    expect(verifySha3(known, undefined, 'abcde12345')).toBe(true)
  })

  it.each([
    ['the salt before the password', salt, 'secret'],
    ['an empty salt', '', 'secret'],
    ['a salt that is no hex', 'Sälz', 'pässwörd😀'],
    ['1,024 bytes', undefined, 'x'.repeat(1024)],
    ['an empty password, as the owner stored it', salt, ''],
  ])('%s', (_what, withSalt, password) => {
    expect(verifySha3(sha3((withSalt ?? '') + password), withSalt, password)).toBe(true)
  })
})

import { spawnSync } from 'node:child_process'
import bcrypt from 'bcryptjs'
import { describe, expect, it } from 'vitest'
import { dummyLike, knownHash, verifyFormat } from './formats.js'

const verify = (stored: string, password: string): boolean => verifyFormat(stored, password, bcrypt)

/** Made with glibc's crypt(3), OpenSSL and Apache's htpasswd. */
const vectors: readonly (readonly [stored: string, password: string])[] = [
  ['$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5', 'Hello world!'],
  ['$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA', 'Hello world!'],
  ['$5$rounds=1000$roundstoolow$yfvwcWrQ8l/K0DAWyuPMDNHpIVlTQebY9l/gL972bIC', 'the minimum number is still observed'],
  [
    '$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1',
    'Hello world!',
  ],
  [
    '$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1',
    'a very much longer text to encrypt.  This one even stretches over morethan one line.',
  ],
  [
    '$6$rounds=1400$x$Tbwy/qcHT8P/96PDSX42TGjUVpsOJnwmRSu1yfvb5U446PQztVCvthi277klH/XDm17JqfvYrAm1LXcNwy5Bh/',
    'pässwörd',
  ],
  ['$6$$/chiBau24cE26QQVW3IfIe68Xu5.JQ4E8Ie7lcRLwqxO5cxGuBhqF2HmTL.zWJ9zjChg3yJYFXeGBQ2y3Ba1d1', ''],
  ['$1$abc$jaVUjM1dXKqGbIrv9ONTQ/', 'x'.repeat(200)],
  ['$1$saltsalt$9xy1btjgzLYfb7hivXtC//', 'secret'],
  ['$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0', 'secret'],
  ['$apr1$no8lcru6$XjScJA/sCRtke.LvkvdXf0', 'secret'],
  ['{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=', 'secret'],
  ['{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0', 'secret'],
  ['$2y$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC', 'secret'],
  ['$2a$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC', 'secret'],
  ['$2b$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC', 'secret'],
]

const zeros = (count: number): string => '.'.repeat(count)

describe('hashes that are nobody’s', () => {
  it.each([
    ['', ''],
    ['secret', 'secret'],
    ['{PLAIN}secret', 'secret'],
    ['{SHA}', ''],
    ['{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ', 'secret'],
    ['{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ', 'secret'],
    ['{sha}5en6G6MezRroT3XKqkdPOmY/BfQ=', 'secret'],
    ['$apr1$saltsalt$', 'secret'],
    ['$apr1$saltsalt$LrttParrLPdxvgutaSXWJ', 'secret'],
    ['$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0x', 'secret'],
    ['$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0\n', 'secret'],
    ['$APR1$saltsalt$LrttParrLPdxvgutaSXWJ0', 'secret'],
    ['$2y$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8s', 'secret'],
    ['$2x$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC', 'secret'],
    ['$2$04$Kj.WjD888ag3yxB/zLVaD.C.eMqtgz8LNME3SivNOhqIYeE.dQ8sC', 'secret'],
    ['$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7', 'secret'],
    ['rqXexS6ZhobKA', 'secret'],
    ['*', ''],
    ['!', ''],
  ])('%j', (stored, password) => {
    expect(knownHash(stored)).toBeUndefined()
    expect(verify(stored, password)).toBe(false)
  })

  it.each([
    ['bcrypt of cost 15', `$2y$15$${zeros(53)}`],
    ['bcrypt of cost 31', `$2y$31$${zeros(53)}`],
    ['bcrypt of cost 99', `$2y$99$${zeros(53)}`],
    ['bcrypt of cost 3', `$2y$03$${zeros(53)}`],
    ['a million and one rounds', `$6$rounds=1000001$salt$${zeros(86)}`],
    ['the most rounds there can be', `$5$rounds=999999999$salt$${zeros(43)}`],
    ['more rounds than there can be', `$5$rounds=99999999999$salt$${zeros(43)}`],
    ['rounds that are no number', `$5$rounds=1e9$salt$${zeros(43)}`],
    ['negative rounds', `$5$rounds=-1$salt$${zeros(43)}`],
    ['a digest of the other kind', `$5$salt$${zeros(86)}`],
    ['a salt without end', `$5$${'s'.repeat(17)}$${zeros(43)}`],
  ])('what a login must not cost: %s', (_what, stored) => {
    const before = performance.now()
    expect(knownHash(stored)).toBeUndefined()
    expect(verify(stored, 'secret')).toBe(false)
    expect(performance.now() - before).toBeLessThan(50)
  })
})

describe('the right password', () => {
  it.each(vectors)('%s', (stored, password) => {
    expect(knownHash(stored)).toBeDefined()
    expect(verify(stored, password)).toBe(true)
    for (const wrong of [`${password}x`, password.slice(1) + 'é', 'Secret', stored])
      if (wrong !== password) expect(verify(stored, wrong)).toBe(false)
  })

  it.skipIf(spawnSync('openssl', ['version']).error !== undefined)('as OpenSSL makes them, of any length', () => {
    for (const kind of ['-1', '-5', '-6', '-apr1'])
      for (const password of ['a', 'pässwörd😀', 'x'.repeat(15), 'x'.repeat(16), 'x'.repeat(17), 'y'.repeat(65)]) {
        const { stdout } = spawnSync('openssl', ['passwd', kind, '-stdin'], { input: password, encoding: 'utf8' })
        expect([kind, password, verify(stdout.trim(), password)]).toEqual([kind, password, true])
        expect([kind, password, verify(stdout.trim(), `${password}x`)]).toEqual([kind, password, false])
      }
  })

  it.skipIf(spawnSync('htpasswd').error !== undefined)('as Apache’s htpasswd makes them', () => {
    for (const options of ['-nim', '-nis', '-niB', '-ni2', '-ni5']) {
      const { stdout } = spawnSync('htpasswd', [options, 'alice'], { input: 'pass wörd', encoding: 'utf8' })
      const stored = stdout.trim().replace('alice:', '')
      expect([options, verify(stored, 'pass wörd')]).toEqual([options, true])
      expect([options, verify(stored, 'pass word')]).toEqual([options, false])
    }
  })
})

describe('a dummy', () => {
  it.each([...vectors.map(([stored]) => stored), 'nothing that is known'])('like %s is opened by nothing', (stored) => {
    const dummy = dummyLike(stored)
    expect(knownHash(dummy)).toEqual(knownHash(stored) ?? knownHash('{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ='))
    for (const password of ['', 'secret', 'Hello world!', dummy, stored]) expect(verify(dummy, password)).toBe(false)
  })
})

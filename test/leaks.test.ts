import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { basic } from './harness.js'
import { Leaks } from './leaks.js'

const secret = 'correct horse "battery" staple'
const leaks = new Leaks()
leaks.use(secret)
leaks.useShown('A key. The secret is shown only now:\n  X-Api-Key: pstnk_1\n  X-Api-Secret: 0123456789abcdef\n')
leaks.useShown('{"token":"pstnt_json0123456789","id":"pstnt_json"}')
leaks.useShown('A token for sensor. It is shown only now:\n  pstnt_plain0123456789\nClients …')

it.each([
  ['plain', `wrong password: ${secret}`],
  ['in a line of JSON', JSON.stringify({ name: secret })],
  ['in a URL', `/x?password=${encodeURIComponent(secret)}`],
  ...['a', 'ab', 'abc', 'alice'].map((name) => [`as Basic of ${name}`, `authorization: ${basic([name, secret])}`]),
  ['hashed with SHA-256', createHash('sha256').update(secret).digest('hex')],
  ['hashed with SHA-3', createHash('sha3-256').update(secret).digest('hex')],
  ['hashed with SHA-1', createHash('sha1').update(secret).digest('base64')],
  ['as an argon2id hash of anything', 'stored: $argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA'],
  ['as the secret of a key that was shown', 'x 0123456789abcdef'],
  ['as a token that was shown as JSON', 'Bearer pstnt_json0123456789'],
  ['as a token that was shown', 'Bearer pstnt_plain0123456789'],
])('a secret is found %s', (_, text) => {
  expect(() => leaks.check('the log', text)).toThrow(/^the log holds a (?:secret|hash)/)
})

it('what is no secret is not', () => {
  leaks.check('the log', 'wrong-password of alice, key pstnk_1, token pstnt_json')
})

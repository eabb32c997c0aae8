import { hash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encoded } from '../../../test/s3-signer.js'
import { isFailure } from '../../core/failure.js'
import { canonicalHash, canonicalHeaders, canonicalPath, canonicalQuery, queryPairs } from './canonical-request.js'
import { derivedKey } from './signing-keys.js'

/**
 * Cases of the public signing test suite of AWS (`aws-sig-v4-test-suite`, and its successor in aws-c-auth), whose service
 * is called `service`. Left out: those that normalise paths (`get-relative`, `get-slash…`, which S3 does not do: the
 * `-unnormalized` ones are here), `get-header-value-multiline` (folded headers are refused by the transport),
 * `post-sts-header-after` (a token added after signing, which is refused) and what only repeats another request.
 */
const suite: readonly (readonly [name: string, request: string, signature: string])[] = [
  [
    'get-header-key-duplicate',
    'GET /\nMy-Header1:value2\nMy-Header1:value2\nMy-Header1:value1',
    'c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea',
  ],
  [
    'get-header-value-order',
    'GET /\nMy-Header1:value4\nMy-Header1:value1\nMy-Header1:value3\nMy-Header1:value2',
    '08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01',
  ],
  [
    'get-header-value-trim',
    'GET /\nMy-Header1: value1\nMy-Header2: "a   b   c"',
    'acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736',
  ],
  [
    'get-unreserved',
    'GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
    '07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f',
  ],
  ['get-utf8', 'GET /ሴ', '8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85'],
  ['get-vanilla', 'GET /', '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31'],
  [
    'get-vanilla-empty-query-key',
    'GET /?Param1=value1',
    'a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb',
  ],
  [
    'get-vanilla-query-order-key',
    'GET /?Param1=value2&Param1=Value1',
    'eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1',
  ],
  [
    'get-vanilla-query-order-key-case',
    'GET /?Param2=value2&Param1=value1',
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  ],
  [
    'get-vanilla-query-order-value',
    'GET /?Param1=value2&Param1=value1',
    '5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694',
  ],
  [
    'get-vanilla-query-order-encoded',
    'GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1',
    '371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac',
  ],
  [
    'get-vanilla-query-unreserved',
    'GET /?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
    '9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197',
  ],
  ['get-vanilla-utf8-query', 'GET /?ሴ=bar', '2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04'],
  ['post-vanilla', 'POST /', '5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b'],
  [
    'post-header-key-sort',
    'POST /\nMy-Header1:value1',
    'c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c',
  ],
  [
    'post-header-value-case',
    'POST /\nMy-Header1:VALUE1',
    'cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d',
  ],
  ['post-vanilla-query', 'POST /?Param1=value1', '28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11'],
  [
    'post-x-www-form-urlencoded',
    'POST /\nContent-Type:application/x-www-form-urlencoded\n\nParam1=value1',
    'ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a',
  ],
  [
    'post-x-www-form-urlencoded-parameters',
    'POST /\nContent-Type:application/x-www-form-urlencoded; charset=utf8\n\nParam1=value1',
    '1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe',
  ],
  [
    'post-sts-header-before',
    'POST /\nX-Amz-Security-Token:AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==',
    '85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead',
  ],
  [
    'get-vanilla-with-session-token',
    'GET /\nX-Amz-Security-Token:6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267',
    '07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8',
  ],
  ['get-space', 'GET /example space/', '652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741'],
  ['get-slash-unnormalized', 'GET //', 'c88bcd3d312d75078c0cd961d6deae3f4c754924b01669efcfcb439fd5e5b76e'],
  ['get-slashes-unnormalized', 'GET //example//', '87cca117541a147f6df867677d98a7d80dff226d2bfca9e4ffa899665623c7e5'],
  ['get-slash-dot-slash-unnormalized', 'GET /./', '68714168e6557f8f2de0ef956fc24dc2593a4bd2961f8df51898d8a134695145'],
  [
    'get-slash-pointless-dot-unnormalized',
    'GET /./example',
    'beb03f223f7deae4146464f06e29eebbee9c8afbe15c290cf07aa8b119e14cff',
  ],
  ['get-relative-unnormalized', 'GET /example/..', 'eca7ead57bb5aa5c8e28007acd4ff04e1ff9a0ff3b237ec1554a184887ff9282'],
  [
    'get-relative-relative-unnormalized',
    'GET /example1/example2/../..',
    'dc33e0856fd4baca4d7aa2146c38958283844764f38c74252a333df5e613003b',
  ],
]

const date = '20150830T123600Z'
const query =
  'X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request' +
  `&X-Amz-Date=${date}&X-Amz-Expires=3600&X-Amz-SignedHeaders=`

/** The same, with their signatures in the query. */
const signedUrls: readonly (readonly [name: string, request: string, signature: string])[] = [
  [
    'get-vanilla-utf8-query',
    `GET /?ሴ=bar&${query}host`,
    '0bdd809b1519ac4f0c1dc3540e2cc46bd0c7f778eda408b2ebf3b913d21ff600',
  ],
  [
    'get-vanilla-query-order-key-case',
    `GET /?Param2=value2&Param1=value1&${query}host`,
    '86012e2c9ad4d77369f5d81c11f75158aae4f895a085212cc6d3f923d300bed5',
  ],
  [
    'get-header-value-trim',
    `GET /?${query}host%3Bmy-header1%3Bmy-header2\nMy-Header1: value1\nMy-Header2: "a   b   c"`,
    'e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4',
  ],
  [
    'get-slashes-unnormalized',
    `GET //example//?${query}host`,
    '822a5a9ba28072c5ab2bb4a6307d0c88276d40e49fec6b724c03fb4d4ba60fc2',
  ],
]

/** The signature of a request as text, by the code under test. */
function signatureOf(request: string, more: string): string {
  const [head = '', body = ''] = request.split('\n\n')
  const [first = '', ...lines] = (head + more).split('\n')
  const space = first.indexOf(' ')
  const target = Buffer.from(first.slice(space + 1)).toString('latin1')
  const headers = new Map<string, string[]>([['host', ['example.amazonaws.com']]])
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1)])
  }
  const [path = '', rawQuery = ''] = target.split('?')
  const names = [...headers.keys()].sort()
  const canonical = canonicalHash({
    method: first.slice(0, space),
    path: canonicalPath(path),
    query: canonicalQuery(queryPairs(rawQuery)),
    headers: canonicalHeaders(headers, names, 'example.amazonaws.com'),
    signedHeaders: names.join(';'),
    payload: hash('sha256', body),
  })
  const { sign } = derivedKey('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', '20150830', 'us-east-1', 'service')
  const text = `AWS4-HMAC-SHA256\n${date}\n20150830/us-east-1/service/aws4_request\n${canonical}`
  return Buffer.from(sign(text), 'base64').toString('hex')
}

describe('the public test suite', () => {
  it.each(suite)('%s', (_name, request, signature) => {
    expect(signatureOf(request, `\nX-Amz-Date:${date}`)).toBe(signature)
  })

  it.each(signedUrls)('%s in the query', (_name, request, signature) => {
    expect(signatureOf(request, '')).toBe(signature)
  })
})

describe('paths', () => {
  it.each([
    ['/a/b', '/a/b'],
    ['//a//./../b/', '//a//./../b/'],
    ['/a+b', '/a%2Bb'],
    ['/a%2Bb', '/a%2Bb'],
    ['/a%2fb', '/a%2Fb'],
    ['/a%2Fb', '/a%2Fb'],
    ['/%61', '/a'],
    ['/%7e~', '/~~'],
    ["/!'()*$&,;:=@", '/%21%27%28%29%2A%24%26%2C%3B%3A%3D%40'],
    ['/a%20b', '/a%20b'],
    ['/%25', '/%25'],
    ['/%2525', '/%2525'],
    ['/\xc3\xa4', '/%C3%A4'],
    ['/%c3%a4', '/%C3%A4'],
    ['/%ff', '/%FF'],
    ['/a\\b', '/a%5Cb'],
    ['/a\tb', '/a%09b'],
    ['*', '%2A'],
  ])('%s', (raw, canonical) => {
    expect(canonicalPath(raw)).toBe(canonical)
  })
})

describe('queries', () => {
  it.each([
    ['', ''],
    ['uploads', 'uploads='],
    ['uploads=', 'uploads='],
    ['b&a', 'a=&b='],
    ['a=2&a=1', 'a=1&a=2'],
    ['a=1&a=1', 'a=1&a=1'],
    ['a-b=1&a=2', 'a=2&a-b=1'],
    ['a=b=c', 'a=b%3Dc'],
    ['prefix=a+b', 'prefix=a%20b'],
    ['prefix=a%2Bb', 'prefix=a%2Bb'],
    ['prefix=a%20b', 'prefix=a%20b'],
    ['prefix=a/b', 'prefix=a%2Fb'],
    ['B=1&a=2', 'B=1&a=2'],
    ['&a=1&&', 'a=1'],
    ['=x', '=x'],
    ['a=%e1%88%b4', 'a=%E1%88%B4'],
    ['?a', '%3Fa='],
  ])('%s', (raw, canonical) => {
    expect(canonicalQuery(queryPairs(raw))).toBe(canonical)
  })
})

it.each(['/%', '/%1', '/%zz', '/%%41', '/a%2', '/\u1234', '/%u1234'])('refuses the escapes of %s', (raw) => {
  for (const read of [() => canonicalPath(raw), () => queryPairs(raw.slice(1))]) {
    let thrown: unknown
    try {
      read()
    } catch (error) {
      thrown = error
    }
    expect(isFailure(thrown, 'invalid') && thrown.reason).toBe('InvalidURI')
  }
})

it('trims a header of nothing but spaces in no more than a moment', () => {
  const value = `a${' '.repeat(200_000)}b${' '.repeat(200_000)}`
  const begun = performance.now()
  expect(canonicalHeaders(new Map([['x', [value]]]), ['x'], 'h')).toBe('x:a b\n')
  expect(performance.now() - begun).toBeLessThan(1000)
})

it('encodes every text once, however it was encoded before', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.infiniteStream(fc.boolean()), (text, choices) => {
      fc.pre(text.isWellFormed())
      const wanted = encoded(text)
      const mixed = [...Buffer.from(text)]
        .map((byte) => {
          const mark = String.fromCharCode(byte)
          const escaped = `%${byte.toString(16).padStart(2, '0')}`
          return /[%&=+?#/]/.test(mark) || choices.next().value === true ? escaped : mark
        })
        .join('')
      expect(canonicalPath(mixed)).toBe(wanted)
      expect(canonicalQuery(queryPairs(`a=${mixed}`))).toBe(`a=${wanted}`)
    }),
  )
})

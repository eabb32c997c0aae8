import { hash, timingSafeEqual } from 'node:crypto'

/** What a link is signed over: texts and the facts of a request, in this order. */
export type LinkFormat = readonly LinkPart[]

export type LinkPart =
  { readonly text: string } | { readonly fact: 'expires' | 'method' | 'path' | 'address' | 'key-secret' }

/** Facts of a request under such a link. */
export interface LinkFacts {
  readonly token: string
  /** Unix seconds, as they stand in the link. */
  readonly expires: string
  readonly method: string
  /** Decoded, from the root. */
  readonly path: string
  readonly address: string
  /** Of the key that the link names; empty for one without a key. */
  readonly secret: string
}

const facts: ReadonlyMap<string, 'expires' | 'method' | 'path' | 'address' | 'key-secret'> = new Map([
  ['secure_link_expires', 'expires'],
  ['request_method', 'method'],
  ['uri', 'path'],
  ['remote_addr', 'address'],
  ['key_secret', 'key-secret'],
])

/** As PutFS documents it: time, method, path, address, a space, the secret of the key. */
export const usualLinkFormat: LinkFormat = [
  { fact: 'expires' },
  { fact: 'method' },
  { fact: 'path' },
  { fact: 'address' },
  { text: ' ' },
  { fact: 'key-secret' },
]

/**
 * Reads the parameter of nginx's `secure_link_md5`. Undefined where it names a variable that is not known, where it binds
 * neither time nor path, or where it holds no secret.
 */
export function linkFormatOf(expression: string): LinkFormat | undefined {
  const format: LinkPart[] = []
  for (const [piece, braced, plain] of expression.matchAll(/\$(?:\{(\w+)\}|(\w+))|[^$]+|\$/g)) {
    const name = braced ?? plain
    const fact = name === undefined ? undefined : facts.get(name)
    if (piece.startsWith('$') && fact === undefined) return undefined
    format.push(fact === undefined ? { text: piece } : { fact })
  }
  const has = (fact: string): boolean => format.some((part) => 'fact' in part && part.fact === fact)
  const secret = has('key-secret') || format.some((part) => 'text' in part && part.text.trim() !== '')
  return has('expires') && has('path') && secret ? format : undefined
}

/** Whether the format takes the secret from the key that a link names, and not from itself. */
export function needsKey(format: LinkFormat): boolean {
  return format.some((part) => 'fact' in part && part.fact === 'key-secret')
}

/**
 * Judges a link as nginx's `secure_link` does: the token is base64url of MD5 over the format; only one that is right can be
 * expired. A format with an empty secret fits nothing. Takes the same time for every wrong token.
 */
export function judgeLink(format: LinkFormat, link: LinkFacts, nowSeconds: number): 'right' | 'wrong' | 'expired' {
  const { token, expires, method, path, address, secret } = link
  if (!/^[A-Za-z0-9_-]{22}(?:==)?$/.test(token) || !/^[0-9]{1,12}$/.test(expires)) return 'wrong'
  if (needsKey(format) && secret === '') return 'wrong'
  const known = { expires, method, path, address, 'key-secret': secret }
  const signed = format.map((part) => ('text' in part ? part.text : known[part.fact])).join('')
  if (!timingSafeEqual(hash('md5', signed, 'buffer'), Buffer.from(token, 'base64url'))) return 'wrong'
  return Number(expires) < nowSeconds ? 'expired' : 'right'
}

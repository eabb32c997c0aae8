import { Failure } from '../../core/failure.js'
import { header } from '../../core/http.js'
import type { HttpRequest } from '../../core/http.js'
import type { DigestName, Digests, Staged } from '../../store/store.js'

/** The digest that a client says its bytes have. */
export interface ExpectedDigest {
  readonly name: DigestName
  readonly value: Uint8Array
}

/** Digests of RFC 9530 that are given and checked, by the name used there, best first. */
const algorithms: Readonly<Record<string, DigestName>> = { 'sha-256': 'sha256', 'sha-512': 'sha512', md5: 'md5' }
/** RFC 3230 knows SHA-1 too. */
const legacyAlgorithms: Readonly<Record<string, DigestName>> = { ...algorithms, sha: 'sha1' }
const lengths: Readonly<Partial<Record<DigestName, number>>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 }
const longestField = 4096

/**
 * Every digest that a request claims for its body: `Repr-Digest`, `Content-Digest` (RFC 9530), `Digest` (RFC 3230),
 * `Content-MD5`, `OC-Checksum`. Algorithms that are not known are left out; a known one that cannot be read throws
 * `invalid`.
 */
export function expectedDigests(request: Pick<HttpRequest, 'headers'>): readonly ExpectedDigest[] {
  const { headers } = request
  const found: ExpectedDigest[] = []
  for (const field of ['repr-digest', 'content-digest']) {
    if (!headers.has(field)) continue
    for (const [algorithm, text] of members(header(request, field), field)) {
      const name = own(algorithms, algorithm)
      if (name === undefined) continue
      const sequence = /^:([A-Za-z0-9+/=]*):(?:;.*)?$/.exec(text)?.[1]
      found.push({ name, value: fromBase64(sequence ?? '', name, field) })
    }
  }
  if (headers.has('digest'))
    for (const [algorithm, text] of members(header(request, 'digest'), 'digest')) {
      const name = own(legacyAlgorithms, algorithm)
      if (name !== undefined) found.push({ name, value: fromBase64(text, name, 'digest') })
    }
  const md5 = header(request, 'content-md5')
  if (md5 !== undefined) found.push({ name: 'md5', value: fromBase64(md5.trim(), 'md5', 'content-md5') })
  const checksum = header(request, 'oc-checksum')
  if (checksum !== undefined) {
    const [, kind, hex = ''] = /^\s*(MD5|SHA1|SHA256|SHA512):\s*(\S*)\s*$/i.exec(checksum) ?? []
    if (kind !== undefined) {
      const name = kind.toLowerCase() as DigestName
      found.push({
        name,
        value: checked(/^[0-9a-f]*$/i.test(hex) ? Buffer.from(hex, 'hex') : undefined, name, 'oc-checksum'),
      })
    }
  }
  return found
}

/** Throws `bad-digest` where the staged bytes are not what the client said; for `beforeCommit`. */
export function checkDigests(expected: readonly ExpectedDigest[], staged: Pick<Staged, 'digests'>): void {
  for (const { name, value } of expected) {
    const actual = staged.digests[name]
    if (actual === undefined || !Buffer.from(actual).equals(value))
      throw new Failure('bad-digest', `The body does not have the ${name} digest that was announced.`)
  }
}

/** A digest to answer with: its name in RFC 9530 and in a store. */
export interface WantedDigest {
  readonly algorithm: string
  readonly name: DigestName
}

/** What `Want-Repr-Digest` (RFC 9530 §4) likes best of what we have; undefined for none. Never throws. */
export function wantedDigest(request: Pick<HttpRequest, 'headers'>): WantedDigest | undefined {
  const field = header(request, 'want-repr-digest')
  if (field === undefined || field.length > longestField) return undefined
  let best: WantedDigest | undefined
  let bestWeight = 0
  for (const item of field.split(',')) {
    const [, algorithm = '', digits] = /^\s*([a-z*][a-z0-9_.*-]*)(?:=(\d{1,2}))?\s*(?:;.*)?$/.exec(item) ?? []
    const name = own(algorithms, algorithm)
    const weight = digits === undefined ? 1 : Number(digits)
    if (name !== undefined && weight > bestWeight && weight <= 10) {
      best = { algorithm, name }
      bestWeight = weight
    }
  }
  return best
}

/** The value of `Repr-Digest`; undefined where that digest is not among them. */
export function reprDigest(wanted: WantedDigest, digests: Digests): string | undefined {
  const value = digests[wanted.name]
  return value === undefined ? undefined : `${wanted.algorithm}=:${Buffer.from(value).toString('base64')}:`
}

function members(field: string | undefined, name: string): readonly (readonly [algorithm: string, value: string])[] {
  if (field === undefined) return []
  if (field.length > longestField) throw unreadable(name)
  return field
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
    .map((member) => {
      const equals = member.indexOf('=')
      return equals === -1
        ? ([member.toLowerCase(), ''] as const)
        : ([member.slice(0, equals).toLowerCase(), member.slice(equals + 1)] as const)
    })
}

function fromBase64(text: string, name: DigestName, field: string): Uint8Array {
  return checked(/^[A-Za-z0-9+/]+={0,2}$/.test(text) ? Buffer.from(text, 'base64') : undefined, name, field)
}

function checked(value: Uint8Array | undefined, name: DigestName, field: string): Uint8Array {
  if (value === undefined || value.length !== lengths[name]) throw unreadable(field)
  return value
}

function unreadable(field: string): Failure {
  return new Failure('invalid', `The header ${field} does not hold a digest that can be read.`)
}

function own<Value>(record: Readonly<Record<string, Value>>, key: string): Value | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined
}

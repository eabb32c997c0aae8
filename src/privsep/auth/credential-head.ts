import { isIP } from 'node:net'
import type { Credential, RequestFacts } from '../../auth/identity.js'
import { misshapen } from '../sent-request.js'
import type { Head } from '../wire/link.js'

/** What is sent to have a credential checked. */
export interface CredentialHead {
  readonly credential: Credential
  readonly facts: RequestFacts
}

/** In characters; the schemes let nothing through that is longer. */
const longest = { name: 8192, key: 1024, token: 16_384, method: 64, target: 64 * 1024, authority: 1024 }

/** Of a whole message: its texts may be escaped. */
export const maxCredentialBytes = 256 * 1024

/**
 * Reads what a front has sent, which may be in the hands of anybody: nothing comes out of here that the schemes for
 * credentials would not have let through. Throws `invalid`, without a word of what was sent.
 */
export function readCredentialHead({ credential, facts }: Head): CredentialHead {
  if (!isObject(credential) || !isObject(facts)) throw misshapen()
  return { credential: credentialIn(credential), facts: factsIn(facts) }
}

function credentialIn(sent: Head): Credential {
  switch (sent['kind']) {
    case 'password':
      only(sent, 'kind', 'name', 'password')
      return {
        kind: 'password',
        name: text(sent['name'], longest.name, /^[^\x00-\x1f\x7f\\:]+$/),
        password: text(sent['password'], longest.name, /^[^\x00-\x1f\x7f]*$/),
      }
    case 'api-key':
      only(sent, 'kind', 'id', 'secret')
      return {
        kind: 'api-key',
        id: text(sent['id'], longest.key, /^[\x21-\x7e]+$/),
        secret: text(sent['secret'], longest.key, /^[\x21-\x7e]+$/),
      }
    case 'bearer':
      only(sent, 'kind', 'token')
      return { kind: 'bearer', token: text(sent['token'], longest.token, /^[A-Za-z0-9._~+/-]+=*$/) }
    default:
      throw misshapen()
  }
}

function factsIn(sent: Head): RequestFacts {
  only(sent, 'method', 'target', 'origin', 'destination', 'address')
  const { address, origin, destination } = sent
  return {
    method: text(sent['method'], longest.method, /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/),
    target: text(sent['target'], longest.target, noLineBreak),
    ...(origin !== undefined && { origin: originIn(origin) }),
    ...(destination !== undefined && { destination: text(destination, longest.target, noLineBreak) }),
    ...(address !== undefined && { address: addressIn(address) }),
  }
}

const noLineBreak = /^[^\x00\r\n]*$/

function originIn(sent: unknown): NonNullable<RequestFacts['origin']> {
  if (!isObject(sent)) throw misshapen()
  only(sent, 'scheme', 'authority')
  const { scheme, authority } = sent
  if (scheme !== 'http' && scheme !== 'https') throw misshapen()
  return { scheme, authority: text(authority, longest.authority, noLineBreak) }
}

/** With or without the zone of IPv6. */
function addressIn(sent: unknown): string {
  const address = text(sent, 128, /^[0-9A-Fa-f.:]+(?:%[\x21-\x7e]+)?$/)
  if (isIP(address.replace(/%.*$/, '')) === 0) throw misshapen()
  return address
}

function text(value: unknown, most: number, form: RegExp): string {
  if (typeof value !== 'string' || value.length > most || !value.isWellFormed() || !form.test(value)) throw misshapen()
  return value
}

function only(sent: Head, ...names: readonly string[]): void {
  if (Object.keys(sent).some((name) => !names.includes(name))) throw misshapen()
}

function isObject(value: unknown): value is Head {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

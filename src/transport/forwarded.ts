import { BlockList, isIP } from 'node:net'
import type { HttpRequest } from '../core/http.js'

/** Which proxies are believed, and which of their headers. */
export interface ProxyTrust {
  /** Whether the hop at this address is a trusted proxy; undefined is the far end of a Unix socket. */
  covers(address: string | undefined): boolean
  readonly headers: ProxyHeaders
}

/** `auto`: the X-Forwarded family where any of it is there, else Forwarded (RFC 7239). */
export type ProxyHeaders = 'auto' | 'x-forwarded' | 'forwarded'

/** What the client is and sees. */
export interface Forwarded {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly address?: string
  /** Whoever is at the other end of the connection is a trusted proxy. */
  readonly trusted?: true
}

/** A rule from addresses (`10.0.0.1`), networks (`10.0.0.0/8`, `fd00::/8`) and `unix` for Unix sockets; undefined where one does not parse. */
export function proxyTrust(rules: readonly string[], headers: ProxyHeaders): ProxyTrust | undefined {
  const list = new BlockList()
  let unix = false
  for (const rule of rules) {
    if (rule === 'unix') {
      unix = true
      continue
    }
    const [address = '', bits, ...rest] = rule.split('/')
    const version = isIP(address)
    if (version === 0 || rest.length > 0) return undefined
    const family = version === 4 ? 'ipv4' : 'ipv6'
    if (bits === undefined) list.addAddress(address, family)
    else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128))
      list.addSubnet(address, Number(bits), family)
    else return undefined
  }
  // Asking a list for its rules writes all of them out.
  const isEmpty = list.rules.length === 0
  return {
    headers,
    covers(address) {
      if (address === undefined) return unix
      if (isEmpty) return false
      const version = isIP(address)
      return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
    },
  }
}

/** An address without the IPv4-mapped prefix of dual-stack sockets. */
export function plainAddress(address: string | undefined): string | undefined {
  return address?.startsWith('::ffff:') === true && isIP(address.slice(7)) === 4 ? address.slice(7) : address
}

/**
 * What trusted proxies say of a request, beginning with what the connection itself shows. Hops are read from the
 * right: the address is the first one that is no trusted proxy, so that a client cannot choose its own. Scheme and host
 * are the last ones named.
 */
export function readForwarded(headers: HttpRequest['headers'], direct: Forwarded, trust: ProxyTrust): Forwarded {
  if (!trust.covers(direct.address)) return direct
  const family = familyOf(headers, trust.headers)
  const { hops, proto, host } = family === 'forwarded' ? standard(headers) : conventional(headers)
  const address = lastUntrusted(hops, direct.address, trust)
  return {
    scheme: proto === 'https' || proto === 'http' ? proto : direct.scheme,
    authority: host !== undefined && isAuthority(host) ? host.toLowerCase() : direct.authority,
    trusted: true,
    ...(address === undefined ? {} : { address }),
  }
}

/** Whether a text can be the authority of an http URL (RFC 9110 §4.2.1): host and port, no user information. */
export function isAuthority(text: string): boolean {
  return /^(?:[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/.test(text)
}

function familyOf(headers: HttpRequest['headers'], setting: ProxyHeaders): 'x-forwarded' | 'forwarded' {
  if (setting !== 'auto') return setting
  const conventional = ['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host'].some((name) => headers.has(name))
  return conventional || !headers.has('forwarded') ? 'x-forwarded' : 'forwarded'
}

interface Said {
  readonly hops: readonly string[]
  readonly proto: string | undefined
  readonly host: string | undefined
}

function conventional(headers: HttpRequest['headers']): Said {
  return {
    hops: listOf(headers, 'x-forwarded-for'),
    proto: listOf(headers, 'x-forwarded-proto').at(-1)?.toLowerCase(),
    host: listOf(headers, 'x-forwarded-host').at(-1),
  }
}

function listOf(headers: HttpRequest['headers'], name: string): readonly string[] {
  const values = headers.get(name)
  if (values === undefined) return []
  return values
    .join(',')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}

/** RFC 7239 §4: `for=192.0.2.43;proto=https, for="[2001:db8::17]:4711"`. */
function standard(headers: HttpRequest['headers']): Said {
  const text = headers.get('forwarded')?.join(',') ?? ''
  const hops: string[] = []
  let proto: string | undefined
  let host: string | undefined
  for (const element of text.match(/(?:[^,"]|"(?:[^"\\]|\\.)*")+/g) ?? []) {
    for (const pair of element.match(/(?:[^;"]|"(?:[^"\\]|\\.)*")+/g) ?? []) {
      const equals = pair.indexOf('=')
      const name = pair.slice(0, Math.max(equals, 0)).trim().toLowerCase()
      const value = unquote(pair.slice(equals + 1).trim())
      if (name === 'for') hops.push(value)
      else if (name === 'proto') proto = value.toLowerCase()
      else if (name === 'host') host = value
    }
  }
  return { hops, proto, host }
}

function unquote(text: string): string {
  return text.startsWith('"') && text.endsWith('"') && text.length > 1
    ? text.slice(1, -1).replace(/\\(.)/g, '$1')
    : text
}

function lastUntrusted(hops: readonly string[], direct: string | undefined, trust: ProxyTrust): string | undefined {
  let nearest = direct
  for (const hop of hops.toReversed()) {
    const address = hopAddress(hop)
    // A hop that hides itself (`unknown`, `_id`) ends what can be known.
    if (address === undefined) return nearest
    nearest = address
    if (!trust.covers(address)) return address
  }
  return nearest
}

/** The address that a hop is, with a port or without; undefined where it is none, or hidden. */
export function hopAddress(hop: string): string | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|(\d+\.\d+\.\d+\.\d+))(?::\d+)?$/.exec(hop)
  const address = plainAddress(match?.[1] ?? match?.[2] ?? hop)
  return address !== undefined && isIP(address) !== 0 ? address : undefined
}

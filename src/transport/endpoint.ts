import { networkInterfaces } from 'node:os'
import { isIPv6 } from 'node:net'

/** Where a listener listens. */
export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }
  /** Sockets that systemd has opened: those of this name (`FileDescriptorName=`), or those that nobody else asks for. */
  | { readonly kind: 'systemd'; readonly name?: string }

/**
 * Reads `HOST:PORT`, `[IPV6]:PORT`, `:PORT`, `PORT` (all on every address but for the first two), `unix:PATH`, `systemd` or
 * `systemd:NAME`; undefined for anything else.
 */
export function parseEndpoint(text: string): Endpoint | undefined {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    return path === '' ? undefined : { kind: 'unix', path }
  }
  if (text === 'systemd') return { kind: 'systemd' }
  const name = /^systemd:([\x21-\x39\x3b-\x7e]{1,255})$/.exec(text)?.[1]
  if (name !== undefined) return { kind: 'systemd', name }
  const match = /^(?:(?:\[([0-9A-Fa-f:.%]+)\]|([A-Za-z0-9._-]*)):)?(\d{1,5})$/.exec(text)
  if (match === null) return undefined
  const port = Number(match[3])
  if (port > 65_535 || (match[1] !== undefined && !isIPv6(match[1]))) return undefined
  return { kind: 'tcp', host: match[1] ?? match[2] ?? '', port }
}

/** The endpoint as a URL that a person or a script can use: `http://127.0.0.1:8080`, `unix:/run/postern.sock`. */
export function endpointUrl(endpoint: Endpoint, tls: boolean): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  if (endpoint.kind === 'systemd') return endpoint.name === undefined ? 'systemd' : `systemd:${endpoint.name}`
  const host = endpoint.host === '' ? '0.0.0.0' : endpoint.host
  return `${tls ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${endpoint.port}`
}

/** Whether only this machine can reach the endpoint; of a socket that systemd opens nobody can tell. */
export function isLoopback(endpoint: Endpoint): boolean {
  if (endpoint.kind === 'systemd') return false
  return endpoint.kind === 'unix' || /^(?:localhost|127\.[0-9.]+|::1)$/.test(endpoint.host)
}

/** The addresses at which others reach a listener on this host: its own, or for one on every address all of the machine's. */
export function addressesOf(host: string): readonly string[] {
  if (host !== '' && host !== '0.0.0.0' && host !== '::') return [host]
  const addresses = Object.values(networkInterfaces())
    .flatMap((found) => found ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
  return [...addresses, '127.0.0.1']
}

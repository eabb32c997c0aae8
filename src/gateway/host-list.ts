import { Failure } from '../core/failure.js'
import type { HttpRequest } from '../core/http.js'
import { probePages } from './probe-pages.js'

/** Throws `invalid` for a request that was meant for a host of another name. */
export type HostList = (request: Pick<HttpRequest, 'target' | 'origin'>) => void

export interface HostListOptions {
  /** Names and addresses without ports, IPv6 in brackets; in any case. */
  readonly hosts: readonly string[]
  readonly basePath: string
}

/**
 * Lets in what asks for one of these hosts, on whatever port. A page whose name leads to this address for a moment (DNS
 * rebinding) is of the same origin to a browser, but its name is none of ours. What asks whether the server is well may
 * do so by any name.
 */
export function createHostList({ hosts, basePath }: HostListOptions): HostList {
  const known = new Set(hosts.map((host) => host.toLowerCase()))
  const isProbe = probePages(basePath)
  return ({ target, origin }) => {
    if (known.has(hostOf(origin.authority)) || isProbe(target)) return
    throw new Failure('invalid', 'This server is not known by that name.')
  }
}

/** An authority without its port, as a browser compares hosts. */
function hostOf(authority: string): string {
  return authority.toLowerCase().replace(/:\d*$/, '')
}

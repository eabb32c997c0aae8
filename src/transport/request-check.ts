import { isAuthority } from './forwarded.js'

/** What the first lines of a request say, before anybody believes them. */
export interface RequestHead {
  readonly method: string
  /** As sent, an absolute form too. */
  readonly target: string
  readonly version: '0.9' | '1.0' | '1.1' | '2.0'
  readonly headers: ReadonlyMap<string, readonly string[]>
  /** How many header lines there are. */
  readonly headerCount: number
  /** How long they are together; 0 where nothing longer than allowed can come here. */
  readonly headerBytes: number
  /** `:authority` of HTTP/2. */
  readonly authority?: string | undefined
}

export interface HeaderLimits {
  readonly headers: number
  readonly headerBytes: number
}

/** Headers about a connection of HTTP/1.1, which nobody may send within HTTP/2 (RFC 9113 §8.2.2). */
const connectionHeaders = ['connection', 'proxy-connection', 'keep-alive', 'transfer-encoding', 'upgrade'] as const

/**
 * The status that refuses a request whose framing or host could be understood in two ways, before anything else looks at
 * it; undefined for a sound one. RFC 9112 §3.2 (hosts), §6.1 (codings), RFC 9113 §8.2.2 and §8.3.1 (HTTP/2).
 */
export function refusalOf(head: RequestHead, most: HeaderLimits): number | undefined {
  if (head.version === '0.9') return 505
  if (head.headerCount > most.headers || head.headerBytes > most.headerBytes) return 431
  return hostRefusal(head) ?? (head.version === '2.0' ? streamRefusal(head) : codingRefusal(head))
}

function hostRefusal({ headers, authority }: RequestHead): number | undefined {
  const hosts = headers.get('host')
  if (authority !== undefined && !isAuthority(authority)) return 400
  if (hosts === undefined) return undefined
  const [host = ''] = hosts
  if (hosts.length > 1 || (host !== '' && !isAuthority(host))) return 400
  return authority === undefined || authority.toLowerCase() === host.toLowerCase() ? undefined : 400
}

function streamRefusal({ method, headers }: RequestHead): number | undefined {
  if (connectionHeaders.some((name) => headers.has(name))) return 400
  if (headers.get('te')?.some((value) => value.trim().toLowerCase() !== 'trailers') === true) return 400
  if (method === 'CONNECT') return 501
  const expected = headers.get('expect')
  return expected === undefined || isContinue(expected) ? undefined : 417
}

function codingRefusal({ headers, version }: RequestHead): number | undefined {
  const codings = headers.get('transfer-encoding')
  if (codings === undefined) return undefined
  // §6.1: a coding that the version does not have is a sign of faulty framing.
  if (version === '1.0') return 400
  return codings.length === 1 && codings[0]?.trim().toLowerCase() === 'chunked' ? undefined : 501
}

/** Whether the only thing that is expected is `100-continue` (RFC 9110 §10.1.1). */
export function isContinue(expected: readonly string[] | undefined): boolean {
  return expected?.length === 1 && expected[0]?.trim().toLowerCase() === '100-continue'
}

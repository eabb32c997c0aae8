import { mkdtemp, stat, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Caller, Server } from '../harness.js'
import type { Answer } from '../raw-http.js'

/** Where something lies: on the wire and on disk. */
export interface Place {
  readonly path: string
  readonly disk: string
}

/** An empty folder of its own for one test. */
export async function freshFolder(server: Server): Promise<Place> {
  const disk = await mkdtemp(join(server.root, 'test-'))
  return { path: `/${basename(disk)}`, disk }
}

/** A file with the text `0123456789`, alone in a folder. */
export async function freshFile(server: Server): Promise<Place> {
  const { path, disk } = await freshFolder(server)
  await writeFile(join(disk, 'f.txt'), '0123456789')
  return { path: `${path}/f.txt`, disk: join(disk, 'f.txt') }
}

/**
 * The time of modification of a file on disk, to the millisecond, as an ISO date. What lies below is the server's, which
 * tells two writes apart by it; `Stats.mtime` would round it up.
 */
export async function modified(path: string): Promise<string> {
  return new Date(Math.floor((await stat(path)).mtimeMs)).toISOString()
}

/** The body of a LOCK request (RFC 4918 §9.10). */
export function lockInfo(options: { readonly scope?: 'exclusive' | 'shared'; readonly owner?: string } = {}): string {
  const owner = options.owner === undefined ? '' : `<D:owner>${options.owner}</D:owner>`
  return (
    '<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:">' +
    `<D:lockscope><D:${options.scope ?? 'exclusive'}/></D:lockscope><D:locktype><D:write/></D:locktype>${owner}</D:lockinfo>`
  )
}

/** The body of a PROPFIND for some properties of `DAV:`. */
export function propfind(...names: readonly string[]): string {
  return `<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop>${names.map((name) => `<D:${name}/>`).join('')}</D:prop></D:propfind>`
}

/** The body of a PROPPATCH that sets properties, given as XML with namespaces declared. */
export function proppatch(...properties: readonly string[]): string {
  return `<?xml version="1.0"?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:example:z"><D:set><D:prop>${properties.join('')}</D:prop></D:set></D:propertyupdate>`
}

/** The token of a LOCK answer's `Lock-Token` header, without brackets. */
export function tokenOf(answer: Answer): string {
  const token = /^<([^<>]+)>$/.exec(answer.header('lock-token'))?.[1]
  if (token === undefined)
    throw new Error(`no lock token in a ${answer.status}: ${answer.header('lock-token')} ${answer.text}`)
  return token
}

/** Locks a path and gives the token. */
export async function lock(
  server: Server,
  path: string,
  options: { readonly as?: Caller; readonly scope?: 'exclusive' | 'shared'; readonly depth?: string } = {},
): Promise<string> {
  const answer = await server.request('LOCK', path, {
    headers: { Depth: options.depth ?? '0', Timeout: 'Second-600' },
    body: lockInfo(options.scope === undefined ? {} : { scope: options.scope }),
    ...(options.as === undefined ? {} : { as: options.as }),
  })
  return tokenOf(answer)
}

/** The hrefs of a multistatus, in order. */
export function hrefsOf(answer: Answer): readonly string[] {
  return [...answer.text.matchAll(/<(?:\w+:)?href[^>]*>([^<]*)<\/(?:\w+:)?href>/g)].map(([, href = '']) =>
    href.replace(/&(?:amp|#38|#x26);/g, '&').replace(/&(?:apos|#39|#x27);/g, "'"),
  )
}

/** The status of the propstat that holds the first element with this local name; 0 where none has it. */
export function propertyStatus(answer: Answer, localName: string): number {
  for (const [, propstat = ''] of answer.text.matchAll(/<(?:\w+:)?propstat[^>]*>([^]*?)<\/(?:\w+:)?propstat>/g)) {
    if (new RegExp(`<(?:\\w+:)?${localName}[\\s/>]`).test(propstat))
      return Number(/HTTP\/1\.1 (\d{3})/.exec(propstat)?.[1] ?? 0)
  }
  return 0
}

/** Whether a status blames the client (4xx). */
export function isRefusal(code: number): boolean {
  return code >= 400 && code < 500
}

import { chmodSync } from 'node:fs'
import type { ListenOptions, Server } from 'node:net'
import { Failure } from '../core/failure.js'
import type { Endpoint } from './endpoint.js'
import { endpointUrl } from './endpoint.js'
import { freeSocketPath } from './unix-socket.js'

/** A listening socket that another process has opened and handed over. */
export interface HandedSocket {
  readonly fd: number
  readonly name: string
  /** For this listener alone, in place of the endpoint that it names. */
  readonly listener?: string
}

/** Where a server listens, once it does. */
export interface Opened {
  readonly url: string
  /** Its connections have no addresses. */
  readonly unix: boolean
}

/**
 * The sockets to open for a listener: one, but for `systemd` as many as were handed over, under its name where it has one.
 * Throws `unavailable` where there is none.
 */
export function socketsFor(
  { name: listener, at }: { readonly name: string; readonly at: Endpoint },
  handed: readonly HandedSocket[],
): readonly (ListenOptions & { readonly fd?: number })[] {
  const own = handed.find((socket) => socket.listener === listener)
  if (own !== undefined) return [{ fd: own.fd }]
  if (at.kind === 'unix') return [{ path: at.path }]
  if (at.kind === 'tcp') return [at.host === '' ? { port: at.port } : { port: at.port, host: at.host }]
  const found = handed.filter(
    (socket) => socket.listener === undefined && (at.name === undefined || socket.name === at.name),
  )
  if (found.length === 0)
    throw new Failure(
      'unavailable',
      `listen: systemd has handed over no socket for ${endpointUrl(at, false)}. Start the .socket unit, not the .service alone.`,
    )
  return found.map(({ fd }) => ({ fd }))
}

/**
 * Makes a server listen. Rejects with the system's error, or `exists` for a Unix socket in use. `shared`: the socket is that
 * of a primary process, and to be left alone. `mode` is the one of a Unix socket.
 */
export async function openEndpoint(
  server: Server,
  at: Endpoint,
  socket: ListenOptions,
  options: { readonly secure: boolean; readonly shared: boolean; readonly mode?: number | undefined },
): Promise<Opened> {
  if (at.kind === 'unix' && !options.shared) await freeSocketPath(at.path)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(socket, () => {
      server.off('error', reject)
      resolve()
    })
  })
  if (at.kind === 'unix' && options.mode !== undefined) chmodSync(at.path, options.mode)
  const address = server.address()
  if (address === null || typeof address === 'string') {
    const path = at.kind === 'systemd' && typeof address === 'string' ? address : undefined
    return { url: endpointUrl(path === undefined ? at : { kind: 'unix', path }, options.secure), unix: true }
  }
  const host = at.kind === 'tcp' ? at.host : address.address
  return { url: endpointUrl({ kind: 'tcp', host, port: address.port }, options.secure), unix: false }
}

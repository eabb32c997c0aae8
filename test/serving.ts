import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FileRange, HttpRequest, HttpResponse } from '../src/core/http.js'
import type { Exchange } from '../src/transport/exchange.js'
import { proxyTrust } from '../src/transport/forwarded.js'
import type { KeyPair } from '../src/transport/key-pair.js'
import { createNodeTransport } from '../src/transport/node-http.js'
import type { Listener, Transport, TransportLimits } from '../src/transport/node-http.js'
import { openCertificate } from '../src/transport/self-signed.js'
import { RawConnection } from './raw-http.js'

export type Handle = (request: HttpRequest) => Promise<HttpResponse>

export const limits: TransportLimits = {
  headerBytes: 16 * 1024,
  headers: 3000,
  headerSeconds: 20,
  idleSeconds: 20,
  bodyBytesPerSecond: 100,
  keepAliveSeconds: 20,
  requestsPerConnection: 1_000_000,
  connections: 1000,
  connectionsPerAddress: 1000,
}
export const ok: HttpResponse = { status: 200, headers: [], body: Buffer.from('ok') }

const started: Transport[] = []
const folders: string[] = []

/** Stops every transport and removes every file that the functions here have made; to be called after each test. */
export async function cleanUp(): Promise<void> {
  for (const transport of started.splice(0)) await transport.stop(0)
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
}

/** A directory that `cleanUp` removes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'postern-'))
  folders.push(folder)
  return folder
}

export interface Served {
  readonly transport: Transport
  readonly connection: RawConnection
  readonly port: number
  /** Resolves when so many exchanges are over. */
  readonly exchanges: (count: number) => Promise<readonly Exchange[]>
}

/** Starts a transport with this handler on a free port and connects to it. */
export async function serve(
  handle: Handle,
  options: {
    readonly limits?: Partial<TransportLimits>
    readonly trusted?: readonly string[]
    readonly tls?: KeyPair
    readonly onCrowd?: (refused: number) => void
  } = {},
): Promise<Served> {
  const over: Exchange[] = []
  let wake: () => void = () => undefined
  const { tls, onCrowd } = options
  const at: Listener = { name: 'main', at: { kind: 'tcp', host: '127.0.0.1', port: 0 }, ...(tls && { tls }) }
  const transport = createNodeTransport({
    listeners: [at],
    handle,
    limits: { ...limits, ...options.limits },
    trust: proxyTrust(options.trusted ?? [], 'auto')!,
    ...(onCrowd && { onCrowd }),
    onExchange: (exchange) => {
      over.push(exchange)
      wake()
    },
  })
  started.push(transport)
  const [listening] = await transport.start()
  const port = Number(new URL(listening!.url).port)
  return {
    transport,
    port,
    connection: await RawConnection.open(port),
    exchanges: async (count) => {
      while (over.length < count) await new Promise<void>((resolve) => (wake = resolve))
      return over
    },
  }
}

/** Certificates that are made once for a test file. */
export async function makePair(): Promise<KeyPair> {
  const { cert, key } = await openCertificate({ directory: temporaryFolder(), hosts: [] })
  return { cert, key }
}

/** A transport that is not started yet. */
export function transportOf(handle: Handle, listeners: readonly Listener[]): Transport {
  const transport = createNodeTransport({ listeners, handle, limits, trust: proxyTrust([], 'auto')! })
  started.push(transport)
  return transport
}

/** A handler that remembers what became of its work: the value, or the error it threw. */
export function recorded(work: (request: HttpRequest) => Promise<unknown>): {
  outcome: Promise<unknown>
  handle: Handle
} {
  let settle: (value: unknown) => void = () => undefined
  const outcome = new Promise<unknown>((resolve) => (settle = resolve))
  return {
    outcome,
    handle: async (request) => {
      settle(await work(request).catch((error: unknown) => error))
      return ok
    },
  }
}

/** A response with a text. */
export function text(body: string): HttpResponse {
  return { status: 200, headers: [], body: Buffer.from(body) }
}

/** The whole body of a request, as Latin-1. */
export async function collect(request: HttpRequest): Promise<string> {
  let found = ''
  for await (const chunk of request.body) found += Buffer.from(chunk).toString('latin1')
  return found
}

/** A body in pieces. */
export async function* stream(...parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

/** A body that fails after its first piece. */
export async function* broken(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('abc')
  throw new Error('the disk is gone')
}

/** A part of a file that counts how often it is closed. */
export function fileRange(content: Uint8Array, start: number, end: number): FileRange & { closed: number } {
  const folder = temporaryFolder()
  writeFileSync(join(folder, 'file'), content)
  const fd = openSync(join(folder, 'file'), 'r')
  return {
    fd,
    start,
    end,
    closed: 0,
    close() {
      this.closed += 1
      if (this.closed === 1) closeSync(fd)
    },
  }
}

/** SHA-256 in hex. */
export function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Leaves a socket file behind as a killed process would. */
export function abandonSocket(path: string): void {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script])
}

import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** One message of the protocol of PostgreSQL (chapter "Message Formats"), after the start. */
export interface Message {
  readonly type: string
  readonly body: Buffer
}

/** Both ends of one connection through the proxy. */
export interface Ends {
  readonly toServer: (message: Message) => void
  readonly toClient: (message: Message) => void
  /** Both connections end at once, without a word. */
  readonly cut: () => void
}

/** What stands between the two ends of one connection. Each message is given on by whoever it is given to, or not. */
export interface Relay {
  readonly fromClient: (message: Message) => void
  readonly fromServer: (message: Message) => void
}

/** A proxy in front of a PostgreSQL that reads every message on its way. */
export class PostgresProxy {
  readonly port: number
  readonly #server: Server
  readonly #ends: Set<Ends>

  private constructor(server: Server, ends: Set<Ends>) {
    this.#server = server
    this.#ends = ends
    this.port = (server.address() as AddressInfo).port
  }

  /** `settings` are given to the server at the start of each connection, whatever the client says. */
  static async start(
    target: number,
    relayOf: (ends: Ends) => Relay,
    settings: Readonly<Record<string, string>> = {},
  ): Promise<PostgresProxy> {
    const all = new Set<Ends>()
    const server = createServer({ noDelay: true }, (client) => {
      const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true })
      const ends: Ends = {
        toServer: (message) => upstream.write(encode(message)),
        toClient: (message) => client.write(encode(message)),
        cut: () => {
          client.destroy()
          upstream.destroy()
        },
      }
      all.add(ends)
      for (const socket of [client, upstream]) {
        socket.on('error', ends.cut)
        socket.on('close', () => {
          all.delete(ends)
          ends.cut()
        })
      }
      const relay = relayOf(ends)
      readMessages(client, relay.fromClient, startOf(client, upstream, settings))
      readMessages(upstream, relay.fromServer)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new PostgresProxy(server, all)
  }

  cutAll(): void {
    for (const ends of [...this.#ends]) ends.cut()
  }

  async close(): Promise<void> {
    this.#server.close()
    this.cutAll()
    await once(this.#server, 'close')
  }
}

/** Without TLS, a client begins with one message that has no type, and may ask for TLS before. */
function startOf(client: Socket, upstream: Socket, settings: Readonly<Record<string, string>>) {
  return (packet: Buffer): boolean => {
    const code = packet.readInt32BE(4)
    if (code === sslRequest || code === gssRequest) {
      client.write('N')
      return false
    }
    const added = Object.entries(settings).flatMap((pair) => pair.map((text) => Buffer.from(`${text}\0`)))
    const start = Buffer.concat([packet.subarray(0, -1), ...added, Buffer.of(0)])
    start.writeInt32BE(start.length)
    upstream.write(start)
    return true
  }
}

const sslRequest = 80877103
const gssRequest = 80877104

function readMessages(socket: Socket, give: (message: Message) => void, start?: (packet: Buffer) => boolean): void {
  let rest = Buffer.alloc(0)
  let isStarted = start === undefined
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (;;) {
      const head = isStarted ? 1 : 0
      if (rest.length < head + 4) return
      const end = head + rest.readInt32BE(head)
      if (rest.length < end) return
      const packet = rest.subarray(0, end)
      rest = rest.subarray(end)
      if (isStarted) give({ type: packet.toString('latin1', 0, 1), body: packet.subarray(5) })
      else isStarted = start?.(packet) === true
    }
  })
}

function encode({ type, body }: Message): Buffer {
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(body.length + 4, 1)
  return Buffer.concat([head, body])
}

/** The texts in a message that end with a NUL each, from its beginning. */
export function textsOf({ body }: Message, count: number): readonly string[] {
  return body
    .toString('latin1')
    .split('\0', count)
    .map((text) => Buffer.from(text, 'latin1').toString())
}

/** An ErrorResponse. */
export function errorOf(code: string, message: string): Message {
  return { type: 'E', body: Buffer.from(`SERROR\0VERROR\0C${code}\0M${message}\0\0`) }
}

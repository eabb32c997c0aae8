import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { AddressInfo, Server, Socket } from 'node:net'

/** What a service was asked: its own method and target, and lower-case headers with their lines. */
export interface Heard {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly raw: readonly string[]
}

export interface ToyService {
  readonly url: string
  readonly port: number
  readonly heard: Heard[]
  /** May be called again. */
  stop(): Promise<void>
}

/** A service that answers as it is told. */
export async function toyService(answer: (heard: Heard, response: ServerResponse) => void): Promise<ToyService> {
  const heard: Heard[] = []
  const server = createServer((request: IncomingMessage, response) => {
    const one: Heard = {
      method: request.method ?? '',
      url: request.url ?? '',
      headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)])),
      raw: request.rawHeaders,
    }
    heard.push(one)
    request.resume()
    answer(one, response)
  })
  return { heard, ...(await listening(server)) }
}

/** A service that writes these bytes to everybody who connects and says something, and then does with the socket what it wants. */
export async function rawService(talk: (socket: Socket) => void): Promise<ToyService> {
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => talk(socket))
  })
  return { heard: [], ...(await listening(server)) }
}

async function listening(server: Server): Promise<Omit<ToyService, 'heard'>> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}/auth`,
    stop: async () => {
      if (!server.listening) return
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

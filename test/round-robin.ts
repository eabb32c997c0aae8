import { Agent, createServer, request as send } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

/** A proxy that gives every request to the next of several servers, whoever has sent it on which connection. */
export interface RoundRobin {
  readonly port: number
  readonly url: string
  /** How many requests each server was given. */
  readonly given: readonly number[]
  close(): Promise<void>
}

/** Requests go through as they are, Host and all. A server that cannot be reached is passed over for the next one. */
export async function openRoundRobin(ports: readonly number[]): Promise<RoundRobin> {
  const agent = new Agent({ keepAlive: true })
  const given = ports.map(() => 0)
  let turn = 0

  function pass(incoming: IncomingMessage, answer: ServerResponse, tries: number): void {
    const at = turn++ % ports.length
    const upstream = send({
      agent,
      host: '127.0.0.1',
      port: ports[at],
      method: incoming.method,
      path: incoming.url,
      headers: incoming.rawHeaders,
    })
    upstream.on('continue', () => answer.writeContinue())
    upstream.on('response', (response) => {
      given[at]! += 1
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders)
      pipeline(response, answer, () => undefined)
    })
    upstream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' && tries < ports.length) pass(incoming, answer, tries + 1)
      else answer.destroy()
    })
    answer.on('close', () => {
      if (!answer.writableFinished) upstream.destroy()
    })
    incoming.pipe(upstream)
  }

  const server = createServer((incoming, answer) => pass(incoming, answer, 1))
  server.on('checkContinue', (incoming: IncomingMessage, answer: ServerResponse) => pass(incoming, answer, 1))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    given,
    close: async () => {
      agent.destroy()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

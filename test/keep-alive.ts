import type { RequestOptions, Server } from './harness.js'
import { eventually, format } from './harness.js'
import type { Answer } from './raw-http.js'
import { RawConnection } from './raw-http.js'

/** A connection that stays open between requests, one at a time. */
export class KeepAlive {
  readonly #server: Server
  readonly #connection: RawConnection
  readonly #port: number

  private constructor(server: Server, connection: RawConnection, port: number) {
    this.#server = server
    this.#connection = connection
    this.#port = port
  }

  static async open(server: Server, port = server.port): Promise<KeepAlive> {
    return new KeepAlive(server, await RawConnection.open(port), port)
  }

  /** As the admin, unless told otherwise. Rejects where the connection ends before the answer is whole. */
  async request(method: string, target: string, options: RequestOptions = {}): Promise<Answer> {
    const as = ['admin', this.#server.adminPassword] as const
    await this.#connection.send(format(method, target, { as, ...options }, this.#port))
    return await this.#connection.answer({ method })
  }

  destroy(): void {
    this.#connection.destroy()
  }
}

let probes = 0

/** The number of the worker at the other end, as the log tells it. */
export async function workerOf(server: Server, connection: KeepAlive): Promise<number> {
  const path = `/-/probe-${(probes += 1)}`
  await connection.request('GET', path)
  let worker = 0
  await eventually(`the log tells who answered ${path}`, () => {
    const line = server.stderr().split('\n').find((each) => each.includes(`"path":"${path}"`)) // prettier-ignore
    if (line === undefined) return false
    worker = (JSON.parse(line) as { readonly worker?: number }).worker ?? 0
    return true
  })
  return worker
}

/** A connection to each of the workers 1 to `count`, in this order. */
export async function connectToEach(server: Server, count: number): Promise<readonly KeepAlive[]> {
  const found = new Map<number, KeepAlive>()
  // The kernel gives a connection to whoever takes it first, so it may take a few.
  for (let tries = 0; found.size < count; tries += 1) {
    if (tries === 500) throw new Error(`only workers ${[...found.keys()].join()} take connections`)
    const connection = await KeepAlive.open(server)
    const worker = await workerOf(server, connection)
    if (found.has(worker)) connection.destroy()
    else found.set(worker, connection)
  }
  return [...found].sort(([one], [other]) => one - other).map(([, connection]) => connection)
}

/** What became of the requests of a load. */
export interface LoadResult {
  readonly answered: number
  /** One line for each request that had no answer, a wrong one, or half of one. */
  readonly failed: readonly string[]
}

export interface Load {
  /** Requests answered so far. */
  answered(): number
  /** Finishes the running requests and tells. */
  end(): Promise<LoadResult>
}

/**
 * PUTs and GETs without a pause over so many connections, until told to end: what was written must be what is read. A
 * connection that the server has announced to close is replaced; any other that ends is a failed request. Whom nobody
 * takes a connection of gives up.
 */
export function load(server: Server, options: { readonly connections: number; readonly folder?: string }): Load {
  const { connections, folder = '' } = options
  const failed: string[] = []
  let answered = 0
  let over = false

  async function client(number: number): Promise<void> {
    const path = `${folder}/load-${number}`
    let connection: KeepAlive | undefined
    for (let round = 0; !over; round += 1) {
      const content = `${number}:${round};`.repeat(1 + ((round * 37) % 300))
      for (const method of ['PUT', 'GET']) {
        try {
          connection ??= await KeepAlive.open(server)
          const answer = await connection.request(method, path, method === 'PUT' ? { body: content } : {})
          answered += 1
          if (answer.status >= 300 || (method === 'GET' && answer.text !== content))
            failed.push(`${method} ${path} round ${round}: ${answer.status} ${answer.text.slice(0, 200)}`)
          if (answer.header('connection') === 'close') {
            connection.destroy()
            connection = undefined
          }
        } catch (error) {
          failed.push(`${method} ${path} round ${round}: ${String(error)}`)
          connection?.destroy()
          connection = undefined
          if (String(error).includes('ECONNREFUSED')) return
          if (method === 'PUT') break
        }
      }
    }
    connection?.destroy()
  }

  const clients = Array.from({ length: connections }, (_, number) => client(number))
  return {
    answered: () => answered,
    end: async () => {
      over = true
      await Promise.all(clients)
      return { answered, failed }
    },
  }
}

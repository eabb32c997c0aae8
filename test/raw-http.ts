import { connect } from 'node:net'
import type { Socket } from 'node:net'

/** One HTTP/1.1 answer, exactly as it came over the wire. */
export interface Answer {
  readonly status: number
  /** Lower-case names; repeats keep order. */
  readonly headers: ReadonlyMap<string, readonly string[]>
  readonly body: Buffer
  /** The body as UTF-8. */
  readonly text: string
  /** Interim answers that came before it, such as 100. */
  readonly interim: readonly number[]
  /** The first value of a header; the empty string where there is none. */
  header(name: string): string
}

/**
 * A TCP connection that sends whatever bytes it is told to, so that tests can send what no HTTP library would. Answers
 * are read one at a time, in order, framed by RFC 9112 §6.3.
 */
export class RawConnection {
  readonly #socket: Socket
  /** What has come and is not yet read, in the pieces in which it came. */
  #pieces: Buffer[] = []
  #available = 0
  #ended = false
  #error: Error | undefined
  #wake: (() => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => {
      this.#pieces.push(bytes)
      this.#available += bytes.length
      this.#wake?.()
    })
    const end = (error?: Error) => {
      this.#ended = true
      this.#error ??= error
      this.#wake?.()
    }
    socket.on('end', () => end())
    socket.on('close', () => end())
    socket.on('error', end)
  }

  /** Connects to a port of this machine. */
  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new RawConnection(socket)
  }

  /** Sends bytes (text as Latin-1); resolves when the kernel has taken them, so a peer that does not read holds it up. */
  async send(bytes: string | Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, (error) =>
        error ? reject(error) : resolve(),
      )
    })
  }

  /** Like `send`, for peers that may already have refused and closed. */
  async trySend(bytes: string | Uint8Array): Promise<void> {
    await this.send(bytes).catch(() => undefined)
  }

  /** Says that nothing more will come, and goes on reading. */
  finish(): void {
    this.#socket.end()
  }

  /** Goes away at once; with `reset`, by RST. */
  destroy(options: { readonly reset?: boolean } = {}): void {
    if (options.reset === true) this.#socket.resetAndDestroy()
    else this.#socket.destroy()
  }

  /** Whether the peer has closed. */
  get closed(): boolean {
    return this.#ended
  }

  /** Resolves when the peer has closed the connection. */
  async untilClosed(deadlineMs = 10_000): Promise<void> {
    await this.#until(() => this.#ended, deadlineMs, 'the peer to close')
  }

  /** Reads the next final answer; interim answers before it are collected. A HEAD answer has no body. */
  async answer(options: { readonly method?: string; readonly deadlineMs?: number } = {}): Promise<Answer> {
    const deadlineMs = options.deadlineMs ?? 30_000
    const interim: number[] = []
    for (;;) {
      const head = await this.#head(deadlineMs)
      if (head.status >= 100 && head.status < 200) {
        interim.push(head.status)
        continue
      }
      const bodiless = options.method === 'HEAD' || head.status === 204 || head.status === 304
      const body = bodiless ? Buffer.alloc(0) : await this.#body(head.headers, deadlineMs)
      return {
        ...head,
        body,
        text: body.toString('utf8'),
        interim,
        header: (name) => head.headers.get(name.toLowerCase())?.[0] ?? '',
      }
    }
  }

  /** Reads one head, an interim one too. */
  async #head(deadlineMs: number): Promise<{ status: number; headers: Map<string, string[]> }> {
    await this.#until(() => this.#joined().includes('\r\n\r\n'), deadlineMs, 'an answer')
    const head = this.#cut(this.#joined().indexOf('\r\n\r\n') + 4)
    const [first = '', ...lines] = head.subarray(0, -4).toString('latin1').split('\r\n')
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(first)?.[1]
    if (status === undefined) throw new Error(`not a status line: ${JSON.stringify(first)}`)
    const headers = new Map<string, string[]>()
    for (const line of lines) {
      const colon = line.indexOf(':')
      if (colon <= 0) throw new Error(`not a header line: ${JSON.stringify(line)}`)
      const name = line.slice(0, colon).toLowerCase()
      headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()])
    }
    return { status: Number(status), headers }
  }

  async #body(headers: ReadonlyMap<string, readonly string[]>, deadlineMs: number): Promise<Buffer> {
    if (headers.get('transfer-encoding')?.join(',').toLowerCase().includes('chunked') === true)
      return await this.#chunked(deadlineMs)
    const length = headers.get('content-length')?.[0]
    if (length !== undefined) return await this.#take(Number(length), deadlineMs)
    await this.untilClosed(deadlineMs)
    return this.#cut(this.#available)
  }

  async #chunked(deadlineMs: number): Promise<Buffer> {
    const pieces: Buffer[] = []
    for (;;) {
      await this.#until(() => this.#joined().includes('\r\n'), deadlineMs, 'a chunk size')
      const line = this.#cut(this.#joined().indexOf('\r\n') + 2)
      const size = Number.parseInt(line.toString('latin1'), 16)
      if (!Number.isFinite(size)) throw new Error('not a chunk size')
      const piece = await this.#take(size + 2, deadlineMs)
      if (size === 0) return Buffer.concat(pieces)
      pieces.push(piece.subarray(0, size))
    }
  }

  async #take(count: number, deadlineMs: number): Promise<Buffer> {
    await this.#until(() => this.#available >= count, deadlineMs, `${count} bytes`)
    return this.#cut(count)
  }

  #joined(): Buffer {
    if (this.#pieces.length !== 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0] ?? Buffer.alloc(0)
  }

  /** Takes bytes that have come. */
  #cut(count: number): Buffer {
    const whole = this.#joined()
    this.#pieces = [whole.subarray(count)]
    this.#available -= count
    return whole.subarray(0, count)
  }

  async #until(condition: () => boolean, deadlineMs: number, what: string): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while (!condition()) {
      if (this.#ended)
        throw new Error(`the connection ended while waiting for ${what}: ${this.#error?.message ?? 'end of stream'}`)
      const left = deadline - Date.now()
      if (left <= 0) throw new Error(`waited ${deadlineMs} ms for ${what}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      this.#wake = undefined
    }
  }
}

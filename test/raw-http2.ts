import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'

/** Types of frames (RFC 9113 §6). */
export const frameType = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6, goAway: 7, window: 8, continuation: 9 }

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** A connection of HTTP/2 that sends whatever frames it is told to, so that tests can send what no library would. */
export class RawHttp2 {
  readonly #socket: TLSSocket
  readonly #frames: Frame[] = []
  #rest = Buffer.alloc(0)
  #ended = false
  #wake: () => void = () => undefined

  private constructor(socket: TLSSocket) {
    this.#socket = socket
    socket.on('data', (bytes: Buffer) => this.#take(bytes))
    const end = (): void => {
      this.#ended = true
      this.#wake()
    }
    socket.on('error', end).on('close', end).on('end', end)
  }

  /** Connects to a port of this machine, and sends the preface with empty settings. */
  static async open(port: number): Promise<RawHttp2> {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
    })
    const raw = new RawHttp2(socket)
    raw.write(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(frameType.settings, 0, 0))
    return raw
  }

  get closed(): boolean {
    return this.#ended
  }

  write(...bytes: readonly Uint8Array[]): void {
    if (!this.#socket.destroyed) this.#socket.write(Buffer.concat(bytes))
  }

  /** Resolves when the kernel has taken everything, or the connection is closed. */
  async flushed(): Promise<void> {
    while (this.#socket.writableLength > 0 && !this.#ended && !this.#socket.destroyed)
      await new Promise((resolve) => setImmediate(resolve))
  }

  /** The first frame that fits, waiting for it; undefined where the connection ends before. */
  async frame(fits: (frame: Frame) => boolean): Promise<Frame | undefined> {
    for (;;) {
      const found = this.#frames.find(fits)
      if (found !== undefined || this.#ended) return found
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
  }

  /** How a stream was refused: `reset CODE`, `goaway CODE`, `closed`, or `answered`. */
  async fate(stream: number): Promise<string> {
    const found = await this.frame(
      (frame) =>
        frame.type === frameType.goAway ||
        (frame.stream === stream && (frame.type === frameType.reset || frame.type === frameType.headers)),
    )
    if (found === undefined) return 'closed'
    if (found.type === frameType.reset) return `reset ${found.payload.readUInt32BE(0)}`
    return found.type === frameType.goAway ? `goaway ${found.payload.readUInt32BE(4)}` : 'answered'
  }

  async untilClosed(): Promise<void> {
    while (!this.#ended) await new Promise<void>((resolve) => (this.#wake = resolve))
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes])
    while (this.#rest.length >= 9) {
      const end = 9 + this.#rest.readUIntBE(0, 3)
      if (this.#rest.length < end) break
      this.#frames.push({
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5) & 0x7fffffff,
        payload: this.#rest.subarray(9, end),
      })
      this.#rest = this.#rest.subarray(end)
    }
    this.#wake()
  }
}

/** The bytes of one frame. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** A HEADERS frame that is whole (END_HEADERS), every field as a literal that nobody indexes (RFC 7541 §6.2.2). */
export function headers(
  stream: number,
  fields: readonly (readonly [name: string, value: string])[],
  options: { readonly end: boolean },
): Buffer {
  return frame(frameType.headers, 4 | (options.end ? 1 : 0), stream, headerBlock(fields))
}

export function headerBlock(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]))
}

/** The pseudo-headers of a request. */
export function request(method: string, path: string): (readonly [string, string])[] {
  return [
    [':method', method],
    [':scheme', 'https'],
    [':path', path],
    [':authority', 'localhost'],
  ]
}

/** A length in seven bits and the octets (RFC 7541 §5.1, §5.2). */
function literal(text: string): Buffer {
  const bytes = Buffer.from(text, 'latin1')
  const length: number[] = []
  let rest = bytes.length
  if (rest < 127) length.push(rest)
  else {
    length.push(127)
    for (rest -= 127; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest % 128) | 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}

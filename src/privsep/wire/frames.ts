/**
 * What passes between two processes: a frame is the length of all that follows these first eight bytes, the length of its
 * head (each four bytes, big endian), the head as JSON, and bytes.
 */

/** In front of each frame. */
export const prefixBytes = 8

/** Bytes up to here are copied behind their head, so that many frames go out as one piece; longer ones go out as they are. */
const copiedBytes = 16 * 1024
const blockBytes = 64 * 1024

/** Takes one frame: its head as it came, its bytes, which are a view of what was received. False ends the reading. */
export type TakeFrame = (head: Buffer, bytes: Buffer) => boolean

/** Puts frames together again from pieces of any size. What comes in one piece is not copied. */
export class FrameReader {
  readonly #maxBytes: number
  readonly #take: TakeFrame
  readonly #prefix = Buffer.alloc(prefixBytes)
  #prefixFilled = 0
  #body: Buffer | undefined
  #bodyFilled = 0
  #headLength = 0

  /** No frame may be longer than `maxBytes`, its prefix not counted: none such is waited for. */
  constructor(maxBytes: number, take: TakeFrame) {
    this.#maxBytes = maxBytes
    this.#take = take
  }

  /** Reads the next piece, which must not be changed afterwards. Gives the rule that it breaks; nothing may be read after that. */
  read(piece: Buffer): string | undefined {
    let at = 0
    while (at < piece.length) {
      if (this.#body !== undefined) {
        const copied = piece.copy(this.#body, this.#bodyFilled, at)
        at += copied
        this.#bodyFilled += copied
        if (this.#bodyFilled < this.#body.length) return undefined
        const body = this.#body
        this.#body = undefined
        if (!this.#take(body.subarray(0, this.#headLength), body.subarray(this.#headLength))) return undefined
        continue
      }
      let from = piece
      let start = at
      if (this.#prefixFilled > 0 || piece.length - at < prefixBytes) {
        const copied = piece.copy(this.#prefix, this.#prefixFilled, at, at + prefixBytes - this.#prefixFilled)
        this.#prefixFilled += copied
        at += copied
        if (this.#prefixFilled < prefixBytes) return undefined
        this.#prefixFilled = 0
        from = this.#prefix
        start = 0
      } else at += prefixBytes
      const length = from.readUInt32BE(start)
      const headLength = from.readUInt32BE(start + 4)
      if (length > this.#maxBytes) return `a frame of ${length} bytes`
      if (headLength > length || headLength === 0) return `a head of ${headLength} bytes in a frame of ${length}`
      const end = at + length
      if (end <= piece.length) {
        const body = at + headLength
        at = end
        if (!this.#take(piece.subarray(body - headLength, body), piece.subarray(body, end))) return undefined
      } else {
        this.#headLength = headLength
        this.#body = Buffer.allocUnsafeSlow(length)
        this.#bodyFilled = 0
      }
    }
    return undefined
  }
}

/** What frames are written to; a socket is one. */
export interface FrameSink {
  write(bytes: Uint8Array): unknown
  cork(): void
  uncork(): void
}

/** Writes frames, all those of one turn of the event loop at once. */
export class FrameWriter {
  readonly #sink: FrameSink
  #pieces: Uint8Array[] = []
  #block: Buffer = Buffer.alloc(0)
  /** What stands in the block and is not written yet. */
  #from = 0
  #to = 0
  #waiting = 0
  #scheduled = false

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Bytes that `flush` has yet to write. */
  get waiting(): number {
    return this.#waiting
  }

  /** The head is JSON. The bytes must not be changed afterwards. */
  write(head: string, bytes: Uint8Array = nothing): void {
    const copied = bytes.length <= copiedBytes ? bytes.length : 0
    if (head.length > copiedBytes) {
      const encoded = Buffer.from(head)
      this.#reserve(prefixBytes + copied)
      this.#putPrefix(encoded.length, bytes.length)
      this.#append(encoded)
    } else {
      this.#reserve(prefixBytes + head.length * 3 + copied)
      const headLength = this.#block.write(head, this.#to + prefixBytes)
      this.#putPrefix(headLength, bytes.length)
      this.#to += headLength
      this.#waiting += headLength
    }
    if (copied > 0) {
      this.#block.set(bytes, this.#to)
      this.#to += copied
      this.#waiting += copied
    } else if (bytes.length > 0) this.#append(bytes)
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(this.#onTurn)
  }

  /** Writes at once what waits for the end of the turn. */
  flush(): void {
    this.#cut()
    const pieces = this.#pieces
    if (pieces.length === 0) return
    this.#pieces = []
    this.#waiting = 0
    if (pieces.length > 1) this.#sink.cork()
    for (const piece of pieces) this.#sink.write(piece)
    if (pieces.length > 1) this.#sink.uncork()
  }

  readonly #onTurn = (): void => {
    this.#scheduled = false
    this.flush()
  }

  #putPrefix(headLength: number, bytesLength: number): void {
    this.#block.writeUInt32BE(headLength + bytesLength, this.#to)
    this.#block.writeUInt32BE(headLength, this.#to + 4)
    this.#to += prefixBytes
    this.#waiting += prefixBytes
  }

  #append(bytes: Uint8Array): void {
    this.#cut()
    this.#pieces.push(bytes)
    this.#waiting += bytes.length
  }

  #reserve(bytes: number): void {
    if (this.#block.length - this.#to >= bytes) return
    this.#cut()
    this.#block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
    this.#from = this.#to = 0
  }

  /** What has been put into the block since is a piece; what comes goes behind it. */
  #cut(): void {
    if (this.#to > this.#from) this.#pieces.push(this.#block.subarray(this.#from, this.#to))
    this.#from = this.#to
  }
}

const nothing = new Uint8Array(0)

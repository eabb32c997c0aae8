import { readSync } from 'node:fs'
import type { HttpResponse } from '../../core/http.js'
import { isFileRange } from '../../core/http.js'

const pieceBytes = 256 * 1024

/** The body of an answer, let go of exactly once: read it with `pieces`, or `drop` it. */
export class AnswerBody {
  readonly #body: HttpResponse['body']
  #isOver = false

  constructor(body: HttpResponse['body']) {
    this.#body = body
  }

  /** Its bytes as they come, and lets go of it in the end, however that comes. Throws where a file has become shorter. */
  async *pieces(): AsyncGenerator<Uint8Array> {
    const body = this.#body
    if (this.#isOver || body === undefined) return
    if (body instanceof Uint8Array) {
      this.#isOver = true
      yield body
      return
    }
    if (!isFileRange(body)) {
      this.#isOver = true
      yield* body
      return
    }
    try {
      for (let at = body.start; at < body.end;) {
        const piece = Buffer.allocUnsafe(Math.min(pieceBytes, body.end - at))
        const count = readSync(body.fd, piece, 0, piece.length, at)
        if (count === 0) throw new Error('the file became shorter while it was sent')
        at += count
        yield piece.subarray(0, count)
      }
    } finally {
      await this.drop()
    }
  }

  /** Lets go of it unread. */
  async drop(): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    const body = this.#body
    if (body === undefined || body instanceof Uint8Array) return
    if (isFileRange(body)) body.close()
    else await body[Symbol.asyncIterator]().return?.()
  }
}

import type { HttpRequest, HttpResponse } from '../core/http.js'
import type { BodyPace } from './body-pace.js'
import type { Carrier } from './carrier.js'
import { CloseWatch } from './close-watch.js'
import { NodeRequest } from './node-request.js'
import type { RequestFacts } from './node-request.js'
import { RequestBody } from './request-body.js'
import { refusalOf } from './request-check.js'
import type { HeaderLimits } from './request-check.js'
import type { Sent } from './response-writer.js'

/** A request and its answer, when both are over. */
export interface Exchange {
  readonly request: HttpRequest
  readonly sent: Sent
  /** Bytes of the request body that came in. */
  readonly received: number
}

export interface ExchangesOptions {
  /** Answers a request. What it throws becomes a bare 500. */
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  readonly most: HeaderLimits
  readonly pace: BodyPace
  readonly onExchange: ((exchange: Exchange) => void) | undefined
}

/** Runs exchanges, whatever protocol carries them, and knows when all are over. */
export class Exchanges {
  readonly #options: ExchangesOptions
  #running = 0
  #finishing = false
  #onSettled: (() => void) | undefined

  constructor(options: ExchangesOptions) {
    this.#options = options
  }

  /** A stop has been asked for: what runs may finish, nothing new is wanted. */
  get finishing(): boolean {
    return this.#finishing
  }

  /** The body of a request, for `run`. */
  bodyOf(carrier: Carrier, awaitsContinue: boolean): RequestBody {
    return new RequestBody(carrier, awaitsContinue, this.#options.pace)
  }

  /**
   * Answers one request. `send` brings the answer to the client and never rejects; it learns whether the request was so
   * wrong in itself that nobody was asked.
   */
  async run(
    facts: RequestFacts,
    carrier: Carrier,
    body: RequestBody,
    send: (answer: HttpResponse, refused: boolean, watch: CloseWatch) => Promise<Sent>,
  ): Promise<void> {
    this.#running += 1
    try {
      const request = new NodeRequest(facts, body)
      const watch = new CloseWatch(carrier, () => request.abandon())
      const refusal = refusalOf(facts.head, this.#options.most)
      const answer = refusal === undefined ? await this.#answer(request) : { status: refusal, headers: [] }
      const sent = await send(answer, refusal !== undefined, watch)
      this.#options.onExchange?.({ request, sent, received: body.received })
    } finally {
      this.#running -= 1
      if (this.#running === 0) this.#onSettled?.()
    }
  }

  /** From now on `finishing`. */
  finishUp(): void {
    this.#finishing = true
  }

  /** Resolves when no exchange is running, or after so long. */
  async settled(milliseconds: number): Promise<void> {
    if (this.#running === 0) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#onSettled = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  async #answer(request: NodeRequest): Promise<HttpResponse> {
    try {
      return await this.#options.handle(request)
    } catch {
      return { status: 500, headers: [] }
    }
  }
}

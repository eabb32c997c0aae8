import { Failure } from '../core/failure.js'

/** A request body that somebody reads. */
export interface PacedBody {
  /** Bytes that came in so far. */
  readonly received: number
  /** The reader has taken everything and waits for the client. */
  readonly isWaiting: boolean
  fail(failure: Failure): void
}

export interface BodyPaceOptions {
  /** What a client must send at least, on average over `graceSeconds`; 0 asks for nothing. */
  readonly bytesPerSecond: number
  readonly graceSeconds: number
}

interface Account {
  /** `received` when it was last looked at. */
  seen: number
  /** Bytes by which the client may still fall behind. */
  credit: number
}

/**
 * Ends the bodies of clients that send too slowly to be worth waiting for. Time that the reader needs is not held against
 * the client; a fast beginning buys no more than `graceSeconds` of rest.
 */
export class BodyPace {
  readonly #options: BodyPaceOptions
  readonly #accounts = new Map<PacedBody, Account>()

  constructor(options: BodyPaceOptions) {
    this.#options = options
  }

  begin(body: PacedBody): void {
    if (this.#options.bytesPerSecond > 0) this.#accounts.set(body, { seen: body.received, credit: this.#mostCredit() })
  }

  end(body: PacedBody): void {
    this.#accounts.delete(body)
  }

  /** Looks at every body; to be called regularly, with the seconds since the last time. */
  look(seconds: number): void {
    for (const [body, account] of this.#accounts) {
      const came = body.received - account.seen
      account.seen = body.received
      const due = body.isWaiting ? this.#options.bytesPerSecond * seconds : 0
      account.credit = Math.min(account.credit + came - due, this.#mostCredit())
      if (account.credit > 0) continue
      this.#accounts.delete(body)
      body.fail(new Failure('timeout', 'The client sends its body too slowly.'))
    }
  }

  #mostCredit(): number {
    return this.#options.bytesPerSecond * this.#options.graceSeconds
  }
}

import { claimOfHeader } from '../../auth/sigv4/claim.js'
import { requestDate } from '../../auth/sigv4/claim-checks.js'
import type { JudgedForm, JudgedHead, SentForm, SignatureJudge, SignedHead } from '../../auth/sigv4/judge.js'
import type { Proof } from '../../auth/sigv4/proof.js'
import type { Signatures } from '../../auth/sigv4/verified.js'
import { signaturesBy } from '../../auth/sigv4/verifier.js'
import { Failure } from '../../core/failure.js'
import { sentRequest } from '../sent-request.js'
import type { Link } from '../wire/link.js'
import { admitted } from './admitted.js'
import { patience } from './patience.js'
import { RemoteChunkSignatures } from './remote-chunks.js'
import type { TicketBook } from './ticket-book.js'

export interface RemoteSignaturesOptions {
  /** To the process that holds the keys. */
  readonly door: Pick<Link, 'ask'>
  /** Gets the ticket that comes with each signature that holds. */
  readonly book: TicketBook
}

/** Verifies AWS Signature Version 4 with keys that are in another process: one question for each request. */
export function remoteSignatures(options: RemoteSignaturesOptions): Signatures {
  return signaturesBy(remoteJudge(options))
}

/** The judge in that process. */
export function remoteJudge(options: RemoteSignaturesOptions): SignatureJudge {
  return new RemoteJudge(options)
}

class RemoteJudge implements SignatureJudge {
  readonly #door: Pick<Link, 'ask'>
  readonly #book: TicketBook

  constructor({ door, book }: RemoteSignaturesOptions) {
    this.#door = door
    this.#book = book
  }

  async head(request: SignedHead): Promise<JudgedHead | undefined> {
    const { head } = await this.#door.ask('verify', { request: sentRequest(request) }, patience)
    if (head.form === true) return undefined
    const { identity } = admitted(head, this.#book)
    return { identity, proof: this.#proof(head.by, request) }
  }

  async form(form: SentForm, request: SignedHead): Promise<JudgedForm> {
    const { bucket, fileName, fields } = form
    const question = { request: sentRequest(request), bucket, fileName, fields: [...fields] }
    const { head } = await this.#door.ask('verify-form', question, patience)
    const { signed, least, most = Infinity } = head
    if (typeof signed !== 'boolean' || typeof least !== 'number' || typeof most !== 'number') throw notUnderstood()
    const { identity } = admitted(head, this.#book)
    return { identity, signed, size: { least, most } }
  }

  #proof(by: unknown, request: SignedHead): Proof {
    if (by === 'query' || by === 'nobody') return { by }
    if (by !== 'header') throw notUnderstood()
    return { by, chunks: () => new RemoteChunkSignatures(this.#door, claimIn(request)) }
  }
}

/** What the door has just understood. */
function claimIn(request: SignedHead): ReturnType<typeof claimOfHeader> {
  return claimOfHeader(request.headers.get('authorization')?.[0] ?? '', requestDate(request))
}

function notUnderstood(): Failure {
  return new Failure('unavailable', 'Signatures cannot be checked now. Try again soon.', { retryAfterSeconds: 5 })
}

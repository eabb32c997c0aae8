import { Failure } from '../../core/failure.js'
import type { AnswerBody } from '../aws/answer-body.js'
import { isSuccess } from './bucket-requests.js'
import type { BucketRequests } from './bucket-requests.js'
import { factsOf } from './object-facts.js'
import type { GetOptions, ObjectFacts, OpenObject } from './service.js'

/** So often in a row a body may break off with less than this gained in between. */
const mostBreaks = 4
const gainBytes = 1024 * 1024

/** GetObject. */
export async function openObject(
  requests: BucketRequests,
  key: string,
  { range, ifMatch, signal }: GetOptions = {},
): Promise<OpenObject> {
  const open = async (start: number, end: number | undefined, etag: string | undefined): Promise<Opened> => {
    const headers: Record<string, string> = {}
    if (start > 0 || end !== undefined) headers['range'] = `bytes=${start}-${end === undefined ? '' : end - 1}`
    if (etag !== undefined) headers['if-match'] = `"${etag}"`
    const answer = await requests.open({ method: 'GET', key, headers, signal })
    if (!isSuccess(answer) || answer.body === undefined) throw requests.failure(answer)
    const { body } = answer
    try {
      const facts = factsOf(answer.headers)
      if (etag !== undefined && facts.etag !== etag) throw new Failure('precondition', 'The object is another by now.')
      if ('range' in headers && (answer.status !== 206 || startOf(answer.headers['content-range']) !== start))
        throw new Failure(
          'unavailable',
          'The storage service does not give the parts of objects that it is asked for.',
          {
            retryAfterSeconds: 60,
          },
        )
      return { facts, body }
    } catch (error) {
      body.close()
      throw error
    }
  }
  const first = await open(range?.start ?? 0, range?.end, ifMatch)
  const { facts } = first
  const body = new ResumedBody(first.body, {
    start: range?.start ?? 0,
    end: Math.min(range?.end ?? facts.size, facts.size),
    reopen: async (start, end) => (await open(start, end, facts.etag)).body,
  })
  return { facts, bytes: body.bytes(), close: () => body.close() }
}

function startOf(range: string | undefined): number | undefined {
  const start = /^bytes (\d+)-/.exec(range ?? '')?.[1]
  return start === undefined ? undefined : Number(start)
}

interface Opened {
  readonly facts: ObjectFacts
  readonly body: AnswerBody
}

interface Resumption {
  readonly start: number
  readonly end: number
  readonly reopen: (start: number, end: number) => Promise<AnswerBody>
}

class ResumedBody {
  readonly #resumption: Resumption
  #body: AnswerBody
  #isClosed = false

  constructor(body: AnswerBody, resumption: Resumption) {
    this.#body = body
    this.#resumption = resumption
  }

  async *bytes(): AsyncGenerator<Uint8Array, void> {
    const { start, end } = this.#resumption
    let at = start
    let breaks = 0
    let brokenAt = start
    try {
      for (;;) {
        const next = await this.#body.next().catch((error: unknown) => broken(error))
        if ('value' in next && next.value !== undefined) {
          at += next.value.length
          if (at > end) throw unavailable(new Error('more bytes than announced'))
          yield next.value
          continue
        }
        if (at === end) return
        const cause: unknown = 'cause' in next ? next.cause : new Error('fewer bytes than announced')
        if (this.#isClosed) throw new Failure('incomplete', 'The object was let go.', { cause })
        breaks = at - brokenAt >= gainBytes ? 1 : breaks + 1
        brokenAt = at
        if (breaks > mostBreaks) throw unavailable(cause)
        await this.#resume(at, end)
      }
    } finally {
      this.close()
    }
  }

  close(): void {
    this.#isClosed = true
    this.#body.close()
  }

  async #resume(at: number, end: number): Promise<void> {
    try {
      this.#body = await this.#resumption.reopen(at, end)
    } catch (error) {
      if (!(error instanceof Failure) || (error.kind !== 'precondition' && error.kind !== 'not-found')) throw error
      throw unavailable(error)
    }
    if (this.#isClosed) this.#body.close()
  }
}

/** The failures are of the signal or of the asker; anything else is of the connection. */
function broken(error: unknown): { readonly cause: unknown } {
  if (error instanceof Failure) throw error
  return { cause: error }
}

function unavailable(cause: unknown): Failure {
  return new Failure('unavailable', 'The storage service broke off in the midst of an object. Try again soon.', {
    retryAfterSeconds: 5,
    cause,
  })
}

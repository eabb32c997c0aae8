import { createHash } from 'node:crypto'
import { Failure } from '../../core/failure.js'
import type { BucketRequests } from '../../store/s3/bucket-requests.js'
import { isSuccess } from '../../store/s3/bucket-requests.js'
import type { Deposits } from './deposits.js'

/**
 * Drops as objects of a bucket, by one PutObject each and nothing else: a role that may do only that is enough. The bytes
 * are held in memory, so whoever makes the body bounds them.
 */
export function bucketDeposits(requests: BucketRequests): Deposits {
  return {
    keyOf: (name) => requests.absolute(name),
    put: async (name, body, { type, keyed, signal }) => {
      const pieces: Uint8Array[] = []
      const digest = createHash('sha256')
      let size = 0
      for await (const piece of body) {
        pieces.push(piece)
        digest.update(piece)
        size += piece.length
      }
      const sha256 = digest.digest()
      const answer = await requests.send({
        method: 'PUT',
        key: name,
        headers: requests.written(objectHeaders(sha256, type)),
        body: pieces,
        signal,
      })
      // An attempt whose answer was lost has put it there: nobody else knows the name, unless it is that of a key.
      const isThere = keyed !== true && answer.code === 'PreconditionFailed' && answer.mayHaveBeenDone
      if (!isSuccess(answer) && !isThere) throw storeFailure(requests, answer)
      return { key: requests.absolute(name), size, sha256 }
    },
  }
}

function objectHeaders(sha256: Uint8Array, type: string | undefined): Record<string, string> {
  return {
    'if-none-match': '*',
    'x-amz-checksum-sha256': Buffer.from(sha256).toString('base64'),
    ...(type !== undefined && { 'content-type': type }),
  }
}

/** Whatever is wrong there is no fault of the sender's, who may come again. */
function storeFailure(requests: BucketRequests, answer: Parameters<BucketRequests['failure']>[0]): Failure {
  const failure = requests.failure(answer)
  const isTaken = failure.kind === 'precondition' && answer.status === 412
  if (isTaken || failure.kind === 'unavailable' || failure.kind === 'no-space') return failure
  return new Failure('unavailable', 'The storage service does not take the drop now.', {
    retryAfterSeconds: 5,
    cause: failure,
  })
}

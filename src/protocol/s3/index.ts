import { VerifiedBody } from '../../auth/sigv4/verified-body.js'
import type { VerifiedRequest } from '../../auth/sigv4/verified.js'
import { Failure } from '../../core/failure.js'
import type { HttpRequest, HttpResponse } from '../../core/http.js'
import type { Protocol } from '../protocol.js'
import { readTarget } from './address.js'
import type { S3Target } from './address.js'
import type { S3Settings } from './context.js'
import { faultS3, refuseS3 } from './failures.js'
import { handlers } from './handlers.js'
import { operationOf } from './operations.js'
import { S3Query } from './query.js'

/**
 * The S3 API (Amazon S3 API Reference, REST) over the one tree of files: buckets are folders, keys are paths. Answers only
 * requests that the verifier of signatures has let through.
 */
export function createS3(settings: S3Settings): Protocol {
  /** What a request names is read before it is verified and needed again after: its head is the same then. */
  const targets = new WeakMap<HttpRequest['headers'], { readonly text: string; readonly target: S3Target }>()

  return {
    target(request) {
      const target = readTarget(request, settings)
      targets.set(request.headers, { text: request.target, target })
      return target
    },
    async handle(request, _target, session): Promise<HttpResponse> {
      requireVerified(request)
      const known = targets.get(request.headers)
      const target = known?.text === request.target ? known.target : readTarget(request, settings)
      const query = new S3Query(target.query)
      const operation = handlers[operationOf(request, target, query)]
      const { status, headers, ...rest } = await operation({ request, target, query, session, settings })
      return { ...rest, status, headers: [...headers, ['x-amz-request-id', session.requestId]] }
    },
    refuse: refuseS3,
    fault: faultS3,
  }
}

/** No caller is known but by the verifier, whatever way a request came here. */
function requireVerified(request: HttpRequest): asserts request is VerifiedRequest {
  if (!(request.body instanceof VerifiedBody)) throw new Failure('denied', 'Access is denied.')
}

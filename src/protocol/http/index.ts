import { Failure } from '../../core/failure.js'
import type { HttpResponse } from '../../core/http.js'
import type { Protocol } from '../protocol.js'
import { deleteFile } from './delete.js'
import { allowedMethods, refuseHttp } from './failures.js'
import type { FileContext } from './file-context.js'
import { getFile } from './get.js'
import { patchFile, patchType } from './patch.js'
import { putFile } from './put.js'

export interface HttpFilesOptions {
  /** Whether a PUT makes missing parents; it does by default. */
  readonly parents?: boolean
  /** GETs of more bytes are answered 307 where the store has a URL of its own; absent: none are. */
  readonly redirectOver?: number | undefined
}

/** The plain HTTP surface: GET, HEAD, PUT, DELETE, PATCH and OPTIONS by path; listings by `Accept`. */
export function createHttpFiles(options: HttpFilesOptions = {}): Protocol {
  const parents = options.parents ?? true

  async function dispatch(context: FileContext): Promise<HttpResponse> {
    switch (context.request.method) {
      case 'GET':
      case 'HEAD':
        return getFile(context, options.redirectOver)
      case 'PUT':
        return putFile(context, { parents })
      case 'DELETE':
        return deleteFile(context)
      case 'PATCH':
        return patchFile(context)
      case 'OPTIONS':
        return optionsResponse()
      default:
        throw new Failure('method', `The methods here are ${allowedMethods}.`)
    }
  }

  return {
    handle: (request, target, session) => dispatch({ request, target, session }),
    refuse: refuseHttp,
  }
}

function optionsResponse(): HttpResponse {
  return {
    status: 200,
    headers: [
      ['Allow', allowedMethods],
      ['Accept-Patch', patchType],
      ['Accept-Ranges', 'bytes'],
      ['Content-Length', '0'],
    ],
  }
}

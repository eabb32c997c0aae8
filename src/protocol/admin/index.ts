import type { HttpRequest, HttpResponse } from '../../core/http.js'
import { isWithin } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'
import { guardPath } from './guard-page.js'
import { usersPath } from './users.js'

export interface OwnPagesOptions {
  /** Whether files can be served now. May reject, which is a no. */
  readonly ready: () => Promise<boolean>
  /** Answers `guardPath`, and asks for a login itself. */
  readonly guard: (request: HttpRequest) => Promise<HttpResponse>
  /** Answers below `usersPath`, and asks for a login itself; absent: there is no such page. */
  readonly users?: (request: HttpRequest, path: StorePath) => Promise<HttpResponse>
}

/** Answered to everybody, however much they ask. */
export const healthPath = '/-/health'
export const readyPath = '/-/ready'

/** Answers below `/-/`; undefined where the path is none of them. */
export type OwnPages = (request: HttpRequest, path: StorePath) => Promise<HttpResponse | undefined>

/** `/-/health`: the process is alive. `/-/ready`: it can reach its files and its catalog. */
export function createOwnPages(options: OwnPagesOptions): OwnPages {
  return async (request, path) => {
    if (path === healthPath) return answer(request, 200, 'ok\n')
    if (path === guardPath) return options.guard(request)
    if (options.users !== undefined && isWithin(path, usersPath)) return options.users(request, path)
    if (path !== readyPath) return undefined
    const ready = await options.ready().catch(() => false)
    return ready ? answer(request, 200, 'ready\n') : answer(request, 503, 'not ready\n')
  }
}

function answer(request: HttpRequest, status: number, text: string): HttpResponse {
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return { status: 405, headers: [['Allow', 'GET, HEAD']], body: Buffer.from('') }
  return {
    status,
    headers: [
      ['Content-Type', 'text/plain; charset=utf-8'],
      ['Cache-Control', 'no-store'],
    ],
    body: Buffer.from(text),
  }
}

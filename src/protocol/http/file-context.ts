import type { HttpRequest } from '../../core/http.js'
import type { ParsedTarget } from '../../core/path.js'
import type { Session } from '../protocol.js'

/** One request for one file or directory, as every surface that serves files by path hands it to these handlers. */
export interface FileContext {
  readonly request: HttpRequest
  readonly target: ParsedTarget
  readonly session: Session
}

/** The query of a target, decoded; what is not valid UTF-8 shows as U+FFFD. */
export function queryOf(context: FileContext): URLSearchParams {
  return new URLSearchParams(context.target.query)
}

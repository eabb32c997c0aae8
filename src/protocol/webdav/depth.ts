import { Failure } from '../../core/failure.js'
import { header, type HttpRequest } from '../../core/http.js'

export type Depth = 0 | 1 | 'infinity'

/** The `Depth` header (RFC 4918 §10.2); throws `invalid` where it is none of the allowed values. */
export function depthOf<Allowed extends Depth>(
  request: HttpRequest,
  allowed: readonly Allowed[],
  byDefault: Allowed,
): Allowed {
  const text = header(request, 'depth')?.trim().toLowerCase()
  if (text === undefined || text === '') return byDefault
  const depth = allowed.find((each) => String(each) === text)
  if (depth === undefined) throw new Failure('invalid', `Depth must be ${allowed.join(' or ')} here.`)
  return depth
}

/** The `Overwrite` header (RFC 4918 §10.6): true unless it says `F`. */
export function overwriteOf(request: HttpRequest): boolean {
  const text = header(request, 'overwrite')?.trim().toUpperCase()
  if (text === undefined || text === 'T') return true
  if (text === 'F') return false
  throw new Failure('invalid', 'Overwrite must be T or F.')
}

/** The lock time-out asked for in seconds (RFC 4918 §10.7), within bounds: some clients lose files under three minutes. */
export function timeoutOf(request: HttpRequest): number {
  const first = header(request, 'timeout')?.split(',')[0]?.trim() ?? ''
  const asked = /^second-(\d+)$/i.exec(first)?.[1]
  if (asked !== undefined) return Math.min(Math.max(Number(asked), minTimeoutSeconds), maxTimeoutSeconds)
  return /^infinite$/i.test(first) ? maxTimeoutSeconds : defaultTimeoutSeconds
}

const minTimeoutSeconds = 180
const defaultTimeoutSeconds = 600
const maxTimeoutSeconds = 24 * 3600

import { networkOf } from '../auth/throttle.js'
import type { RateLimit } from '../auth/rate-limit.js'
import type { FinishedExchange } from './access-log.js'
import type { HttpRequest } from '../core/http.js'

/** How much each address and each identity may ask for. */
export interface RequestLimits {
  /** Before anything is done for a request. Throws `throttled`. */
  enter(request: HttpRequest): void
  /** When it is known who asks. Throws `throttled`. */
  enterAs(principal: string): void
  /** When it is over; `principal` where it was known. */
  finished(exchange: FinishedExchange, principal: string | undefined): void
}

export interface RequestLimitsOptions {
  readonly address: RateLimit
  readonly identity: RateLimit
  /** Addresses that stand for many or for ourselves: loopback, proxies. */
  readonly isExempt: (address: string | undefined) => boolean
}

/** An IPv6 client is counted by its network, as the throttle of logins does. Callers without a login have no identity to count by. */
export function createRequestLimits({ address, identity, isExempt }: RequestLimitsOptions): RequestLimits {
  /** By address, undefined for the exempt: they come again and again. */
  const subjects = new Map<string, string | undefined>()
  const subjectOf = ({ peer: { address: from } }: HttpRequest): string | undefined => {
    if (from === undefined) return undefined
    if (subjects.has(from)) return subjects.get(from)
    if (subjects.size >= mostRemembered) subjects.clear()
    const subject = isExempt(from) ? undefined : networkOf(from)
    subjects.set(from, subject)
    return subject
  }
  return {
    enter(request) {
      const subject = subjectOf(request)
      if (subject !== undefined) address.enter(subject)
    },
    enterAs(principal) {
      if (principal !== anonymous) identity.enter(principal)
    },
    finished({ request, received, sent }, principal) {
      const bytes = received + sent.bodyBytes
      const subject = address.countsBytes ? subjectOf(request) : undefined
      if (subject !== undefined) address.add(subject, bytes)
      if (identity.countsBytes && principal !== undefined && principal !== anonymous) identity.add(principal, bytes)
    },
  }
}

const anonymous = 'anonymous:anonymous'
const mostRemembered = 10_000

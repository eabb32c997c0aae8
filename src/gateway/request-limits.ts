import type { Audit, LimitEvent } from '../auth/audit.js'
import type { RateLimit } from '../auth/rate-limit.js'
import { isFailure } from '../core/failure.js'
import type { FinishedExchange } from './access-log.js'
import type { HttpRequest } from '../core/http.js'
import { networkOf } from '../core/network.js'

/** How much each address and each identity may ask for. */
export interface RequestLimits {
  /** Before anything is done for a request. Throws `throttled`. */
  enter(request: HttpRequest): void
  /** When it is known who asks. Throws `throttled`. */
  enterAs(principal: string, request: HttpRequest): void
  /** When it is over; `principal` where it was known. */
  finished(exchange: FinishedExchange, principal: string | undefined): void
}

export interface RequestLimitsOptions {
  readonly address: RateLimit
  readonly identity: RateLimit
  /** Addresses that stand for many or for ourselves: loopback, proxies. */
  readonly isExempt: (address: string | undefined) => boolean
  readonly audit: Audit
}

/** An IPv6 client is counted by its network, as the throttle of logins does. Callers without a login have no identity to count by. */
export function createRequestLimits({ address, identity, isExempt, audit }: RequestLimitsOptions): RequestLimits {
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
  const told = (enter: () => void, event: LimitEvent): void => {
    try {
      enter()
    } catch (error) {
      if (isFailure(error, 'throttled')) audit.write(event)
      throw error
    }
  }
  return {
    enter(request) {
      const subject = subjectOf(request)
      if (subject !== undefined)
        told(() => address.enter(subject), { event: 'rate-limited', why: 'address', address: subject })
    },
    enterAs(principal, { peer }) {
      if (principal === anonymous) return
      const from = peer.address === undefined ? {} : { address: peer.address }
      told(() => identity.enter(principal), { event: 'rate-limited', why: 'identity', name: principal, ...from })
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

/** What is to be done about an answer that is an error. */
export type Verdict = 'final' | 'again' | 'slower' | 'other-clock' | 'other-credentials'

const throttling = new Set([
  'BandwidthLimitExceeded',
  'LimitExceededException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'ThrottledException',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'TooManyRequestsException',
])

/** Of 4xx; the last ones are bodies that were damaged on their way. */
const passing = new Set([
  'ConditionalRequestConflict',
  'OperationAborted',
  'PriorRequestNotComplete',
  'RequestTimeout',
  'RequestTimeoutException',
  'TransactionInProgressException',
  'BadDigest',
  'IncompleteBody',
  'XAmzContentSHA256Mismatch',
])

const clockCodes = new Set([
  'RequestTimeTooSkewed',
  'RequestExpired',
  'RequestInTheFuture',
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'AuthFailure',
])

const expiredCodes = new Set(['ExpiredToken', 'ExpiredTokenException', 'TokenRefreshRequired'])

/** Judges an error by its status and code, as the SDKs of AWS do ("Retry behavior", AWS SDKs and Tools Reference Guide). */
export function verdictOf(status: number, code: string | undefined): Verdict {
  if (code !== undefined && code !== '') {
    if (throttling.has(code)) return 'slower'
    if (passing.has(code)) return 'again'
    if (expiredCodes.has(code)) return 'other-credentials'
    if (clockCodes.has(code)) return 'other-clock'
    if (code === 'InternalError' || code === 'InternalServerError' || code === 'ServiceUnavailable') return 'again'
  }
  // Answers to HEAD have no body, hence no code.
  if (code === '' && status === 400) return 'other-credentials'
  if (code === '' && status === 403) return 'other-clock'
  if (status === 429) return 'slower'
  return status === 500 || status === 502 || status === 503 || status === 504 ? 'again' : 'final'
}

/** Whether the service says of a request that it has not been carried out. */
export function isUndone(status: number, code: string | undefined): boolean {
  return status < 500 || (code !== undefined && throttling.has(code))
}

/** Milliseconds before the next attempt: anything up to a bound that doubles (full jitter). */
export function pauseBefore(attempt: number, baseMilliseconds: number): number {
  return Math.random() * Math.min(mostPauseMilliseconds, baseMilliseconds * 2 ** (attempt - 1))
}

const mostPauseMilliseconds = 5_000

/** The seconds of `Retry-After`; a date is not waited for. */
export function retryAfterOf(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,5}$/.test(value) ? Number(value) : undefined
}

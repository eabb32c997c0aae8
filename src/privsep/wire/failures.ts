import { Failure } from '../../core/failure.js'
import type { FailureKind, FailureReason } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'
import type { Head } from './link.js'

const maxMessageLength = 1000
const maxChallenges = 16
const maxChallengeLength = 2000
const longestRetrySeconds = 24 * 60 * 60

/** A failure as plain data, without its cause. Whatever else was thrown is `unavailable`, and says nothing of itself. */
export function encodeFailure(error: unknown): Head {
  if (!(error instanceof Failure)) return { kind: 'unavailable', message: nameless }
  const { kind, message, reason, path, retryAfterSeconds, size, challenges } = error
  return { kind, message, reason, path, retryAfterSeconds, size, challenges }
}

/** A failure of the other side, which may be anything: what is wrong or unknown in it is left out. */
export function decodeFailure(value: unknown): Failure {
  const given: Head = typeof value === 'object' && value !== null ? (value as Head) : {}
  const kind = readKind(given['kind'])
  if (kind === undefined) return new Failure('unavailable', nameless)
  const reason = readReason(given['reason'])
  const path = readPath(given['path'])
  const retryAfterSeconds = readNumber(given['retryAfterSeconds'], longestRetrySeconds)
  const size = readNumber(given['size'], Number.MAX_SAFE_INTEGER)
  const challenges = readChallenges(given['challenges'])
  return new Failure(kind, readMessage(given['message']), {
    ...(reason !== undefined && { reason }),
    ...(path !== undefined && { path }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(size !== undefined && { size }),
    ...(challenges !== undefined && { challenges }),
  })
}

const nameless = 'This failed on the server; try again later.'

const kinds: Readonly<Record<FailureKind, true>> = {
  'not-found': true,
  gone: true,
  exists: true,
  'no-parent': true,
  'not-empty': true,
  'is-directory': true,
  'not-directory': true,
  conflict: true,
  unauthenticated: true,
  denied: true,
  throttled: true,
  locked: true,
  precondition: true,
  'bad-range': true,
  'bad-digest': true,
  incomplete: true,
  invalid: true,
  method: true,
  'length-required': true,
  'media-type': true,
  'too-large': true,
  timeout: true,
  'no-space': true,
  elsewhere: true,
  unsupported: true,
  unavailable: true,
}

function readKind(value: unknown): FailureKind | undefined {
  return typeof value === 'string' && Object.hasOwn(kinds, value) ? (value as FailureKind) : undefined
}

/** Names of conditions and codes alone: they become names of XML elements. */
function readReason(value: unknown): FailureReason | undefined {
  return typeof value === 'string' && /^[A-Za-z][A-Za-z0-9-]{0,63}$/.test(value) ? (value as FailureReason) : undefined
}

function readPath(value: unknown): StorePath | undefined {
  if (typeof value !== 'string') return undefined
  try {
    const path = toPath(value)
    return path === value ? path : undefined
  } catch {
    return undefined
  }
}

function readNumber(value: unknown, most: number): number | undefined {
  return typeof value === 'number' && value >= 0 && value <= most ? value : undefined
}

function readMessage(value: unknown): string {
  if (typeof value !== 'string' || value === '') return nameless
  return value.slice(0, maxMessageLength).replace(/\p{C}/gu, ' ')
}

/** They become headers. */
function readChallenges(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > maxChallenges) return undefined
  const all: readonly unknown[] = value
  const challenges = all.filter(
    (text): text is string =>
      typeof text === 'string' && text.length <= maxChallengeLength && /^[\x20-\x7e]+$/.test(text),
  )
  return challenges.length === all.length ? challenges : undefined
}

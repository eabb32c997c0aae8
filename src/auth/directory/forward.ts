import { randomBytes } from 'node:crypto'
import type { Accepted, CachedDirectory } from '../cached.js'
import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { hmacUnder } from '../hmac.js'
import type { Credential, Verdict } from '../identity.js'
import { credentialHeaders, questionsAbout } from './forward-question.js'
import type { Question } from './forward-question.js'
import type { AuthService, ServiceAnswer } from './forward-service.js'
import { Kept } from './kept.js'
import { callerFrom, groupsAmong, isName } from './outside-caller.js'
import type { CallerGrants } from './outside-caller.js'

export interface ForwardOptions extends CallerGrants {
  readonly name: string
  readonly service: AuthService
  readonly clock: Clock
  /** Names those whom neither the answer nor their credential names. */
  readonly secret: Uint8Array
  /** How long a yes may be remembered at most, whatever the answer says; 0: not at all. */
  readonly cacheSeconds: number
  readonly basePath: string
  /** Sent along with every question; lower-case names. */
  readonly headers: ReadonlyMap<string, string>
  /** Of the answer, in lower case; the first that is there names the caller. */
  readonly nameHeaders: readonly string[]
  /** Likewise; its groups are separated by commas. */
  readonly groupHeaders: readonly string[]
}

/** How long a yes is remembered whose answer says nothing of that. */
const shortSeconds = 10
/** How long a no to one request counts as no failed login, after a yes to another. */
const welcomeSeconds = 600
const mostKept = 10_000

/**
 * An outside service that is asked about every request, as nginx asks with `auth_request`: 2xx lets it pass, 401 refuses
 * the login, 403 the request, and everything else means that the service is down. Since its answer may depend on all that
 * it is told, a yes is remembered for the very same question only, and for as long as its `Cache-Control` allows.
 */
export function forwardDirectory(options: ForwardOptions): CachedDirectory {
  const { name, service, clock, basePath, cacheSeconds } = options
  const keyOf = hmacUnder(randomBytes(32))
  const pseudonymOf = hmacUnder(hmacKey(options.secret))
  const yes = new Kept<Accepted>(clock, mostKept)
  const welcome = new Kept<true>(clock, mostKept)
  const flights = new Map<string, Promise<Verdict>>()

  const textOf = (question: Question): string => JSON.stringify([...question])

  async function ask(credential: Credential, shown: Question, about: Question): Promise<Verdict> {
    const question = new Map([...options.headers, ...about, ...shown])
    const key = keyOf(textOf(question))
    const known = yes.get(key)
    if (known !== undefined) return known
    const running = flights.get(key)
    if (running !== undefined) return await running
    const flight = put(credential, question, key, keyOf(textOf(shown)))
    flights.set(key, flight)
    try {
      return await flight
    } finally {
      flights.delete(key)
    }
  }

  async function put(credential: Credential, question: Question, key: string, caller: string): Promise<Verdict> {
    const asked = clock.now()
    const answer = await service.ask(question)
    if (answer.status === 401) {
      const challenges = challengesOf(answer)
      return { kind: 'refused', why: 'service-401', ...(challenges.length > 0 && { challenges }) }
    }
    if (answer.status === 403) {
      // Whoever may pass elsewhere has shown who they are: what they lack is a right, and nobody guesses here.
      if (welcome.get(caller)) throw new Failure('denied', 'The service that checks logins forbids this.')
      return { kind: 'refused', why: 'service-403', forbidden: true }
    }
    if (answer.status < 200 || answer.status > 299) throw unclear(answer)
    const verdict = callerFrom(name, whoIn(credential, answer), options)
    if (verdict.kind !== 'identity') return verdict
    welcome.set(caller, true, clock.now() + welcomeSeconds * 1000)
    const seconds = secondsOf(answer, cacheSeconds)
    if (seconds > 0) yes.set(key, verdict, asked + seconds * 1000)
    return verdict
  }

  function whoIn(credential: Credential, answer: ServiceAnswer): { name: string; groups: readonly string[] } {
    const said = valueIn(answer, options.nameHeaders)
    const found = said ?? nameIn(credential)
    if (!isName(found)) throw lying('its answer names a caller that cannot be')
    const groups = valueIn(answer, options.groupHeaders)?.split(',') ?? []
    return { name: found, groups: groupsAmong(groups.map((group) => group.trim())) }
  }

  function nameIn(credential: Credential): string {
    switch (credential.kind) {
      case 'password':
        return credential.name
      case 'api-key':
        return credential.id
      case 'bearer':
        return `token-${pseudonymOf(credential.token)
          .replace(/[^A-Za-z0-9]/g, '')
          .slice(0, 16)}`
    }
  }

  return {
    name,
    accepts: new Set(['password', 'api-key', 'bearer'] as const),
    dependsOn: 'request',
    async remembered({ credential, facts }) {
      if (yes.size === 0) return undefined
      const shown = credentialHeaders(credential)
      if (shown === undefined) return undefined
      const found = questionsAbout(facts, basePath).map((about) =>
        yes.get(keyOf(textOf(new Map([...options.headers, ...about, ...shown])))),
      )
      return found.every((verdict) => verdict !== undefined) ? found[0] : undefined
    },
    async check(credential, facts) {
      const shown = credentialHeaders(credential)
      if (shown === undefined) return { kind: 'refused', why: 'not-to-be-passed-on' }
      return await allOf(questionsAbout(facts, basePath), (about) => ask(credential, shown, about))
    },
  }
}

/** The first verdict, where all of them let the caller pass. */
async function allOf(questions: readonly Question[], ask: (question: Question) => Promise<Verdict>): Promise<Verdict> {
  let first: Verdict | undefined
  for (const question of questions) {
    const verdict = await ask(question)
    if (verdict.kind !== 'identity') return verdict
    first ??= verdict
  }
  return first ?? { kind: 'unknown' }
}

function hmacKey(secret: Uint8Array): Uint8Array {
  return Buffer.from(hmacUnder(secret.subarray(0, 64))('forward: names of tokens'), 'base64')
}

/** The value of the first of these headers that says something. Throws `unavailable` where it is said twice. */
function valueIn({ headers }: ServiceAnswer, names: readonly string[]): string | undefined {
  for (const name of names) {
    const [value, ...others] = headers.get(name) ?? []
    if (others.length > 0) throw lying(`its answer has more than one ${name}`)
    if (value !== undefined && value.trim() !== '') return utf8(value.trim())
  }
  return undefined
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Header lines arrive as Latin-1; most services mean UTF-8. */
function utf8(text: string): string {
  try {
    return decoder.decode(Buffer.from(text, 'latin1'))
  } catch {
    return text
  }
}

/** What the service asks for, as far as a header of ours may carry it. */
function challengesOf({ headers }: ServiceAnswer): readonly string[] {
  const values = headers.get('www-authenticate') ?? []
  return values.filter((value) => value.length <= 1000 && /^[A-Za-z][\x20-\x7e]*$/.test(value)).slice(0, 4)
}

/** For how long a yes holds (RFC 9111 §5.2.2). */
function secondsOf({ headers }: ServiceAnswer, most: number): number {
  const text = headers.get('cache-control')?.join(',').toLowerCase()
  if (text === undefined) return Math.min(shortSeconds, most)
  if (/\bno-(?:store|cache)\b/.test(text)) return 0
  const age = /(?:^|[\s,])max-age="?(\d{1,9})\b/.exec(text)?.[1]
  return Math.min(age === undefined ? shortSeconds : Number(age), most)
}

function unclear({ status, headers }: ServiceAnswer): Failure {
  const after = /^\d{1,3}$/.exec(headers.get('retry-after')?.[0] ?? '')
  return new Failure('unavailable', 'The service that checks logins cannot say.', {
    retryAfterSeconds: Math.min(Math.max(after === null ? 5 : Number(after[0]), 1), 300),
    cause: new Error(`it answered ${status}`),
  })
}

function lying(what: string): Failure {
  return new Failure('unavailable', 'The service that checks logins cannot be understood.', {
    retryAfterSeconds: 5,
    cause: new Error(what),
  })
}

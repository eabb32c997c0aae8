import { Failure, isFailure } from '../core/failure.js'
import type { LoginEvent } from './audit.js'
import type { Accepted, Asked, CachedDirectory } from './cached.js'
import type { Credential, Directory, Identity, RequestFacts } from './identity.js'
import { shownName } from './shown-name.js'
import type { Attempt, Throttle } from './throttle.js'

export interface CredentialCheckOptions {
  /** In the order in which they are asked: the first that knows a name decides. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  readonly throttle: Throttle
  /** Told of what is refused, and of sources that are down. */
  readonly audit: (event: LoginEvent) => void
}

/** Finds out whether a credential is good, and whose it is. */
export interface CredentialCheck {
  /** By a source that remembers it, without being slowed; undefined where none does. */
  remembered(asked: RememberedAsked): Promise<Accepted | undefined>
  /**
   * By all sources. Throws `unauthenticated`, with one message for all reasons; `throttled` with the seconds to wait;
   * `denied` where no login would help; `unavailable` where a source is down and no other accepts.
   */
  check(asked: Asked): Promise<Accepted>
}

/** What a memory is asked by. The credential is worked out only where somebody looks at it. */
export interface RememberedAsked extends Asked {
  readonly kind: Credential['kind']
}

export function createCredentialCheck({ directories, throttle, audit }: CredentialCheckOptions): CredentialCheck {
  /** Passwords can be guessed; keys and tokens cannot, so they are never slowed. */
  async function enter({ credential, key, facts }: Asked): Promise<Attempt | undefined> {
    if (credential.kind !== 'password') return undefined
    try {
      return await throttle.enter({ name: credential.name, key, ...addressOf(facts) })
    } catch (error) {
      if (isFailure(error, 'throttled'))
        audit({ event: 'login-throttled', name: nameIn(credential), why: 'too-many-failures', ...addressOf(facts) })
      throw error
    }
  }

  async function ask({ credential, facts }: Asked): Promise<Outcome> {
    let down: Failure | undefined
    for (const directory of directories) {
      if (!directory.accepts.has(credential.kind)) continue
      try {
        const verdict = await directory.check(credential, facts)
        if (verdict.kind === 'identity') return { accepted: boundedBy(directory, verdict) }
        if (verdict.kind === 'refused') {
          const { why, challenges, forbidden } = verdict
          return { source: directory.name, why, answer: refusalOf(forbidden, challenges), ...(down && { down }) }
        }
      } catch (error) {
        if (!isFailure(error, 'unavailable')) throw error
        down ??= error
        audit({ event: 'source-unavailable', source: directory.name, cause: error })
      }
    }
    return { why: 'unknown-name', answer: unauthenticated(), ...(down && { down }) }
  }

  return {
    async remembered(asked) {
      for (const directory of directories) {
        if (!('remembered' in directory) || !directory.accepts.has(asked.kind)) continue
        const verdict = await directory.remembered(asked)
        if (verdict) return verdict
      }
      return undefined
    },
    async check(asked) {
      const { credential, facts } = asked
      const attempt = await enter(asked)
      let wrong = false
      try {
        const outcome = await ask(asked)
        if ('accepted' in outcome) return outcome.accepted
        const { down, answer, ...refusal } = outcome
        // A name that no source knows may be one that the absent source would have known.
        wrong = down === undefined || refusal.source !== undefined
        if (wrong) audit({ event: 'login-failed', name: nameIn(credential), ...refusal, ...addressOf(facts) })
        throw down ? unavailable(down) : answer
      } finally {
        if (wrong) await attempt?.failed()
        else attempt?.passed()
      }
    },
  }
}

type Outcome =
  | { readonly accepted: Accepted }
  | {
      /** The source that refused; absent where none knew the name. */
      readonly source?: string
      readonly why: string
      /** What the caller is told, where no source is down. */
      readonly answer: Failure
      /** Why a source that was asked before could not say. */
      readonly down?: Failure
    }

/** What is not remembered where it is known best is over at once everywhere. */
function boundedBy(directory: Directory | CachedDirectory, verdict: Accepted): Accepted {
  return 'remembered' in directory ? verdict : { ...verdict, until: 0 }
}

/** The event of a credential that was right. */
export function loginOf(identity: Identity, { kind }: Credential, facts: RequestFacts): LoginEvent {
  const { name, source } = identity
  return { event: 'login', name: shownName(name), source, with: kind, ...addressOf(facts) }
}

/** As an event names where somebody is. */
export function addressOf({ address }: { readonly address?: string }): { readonly address?: string } {
  return address === undefined ? {} : { address }
}

/** What a caller without a valid credential is told, whatever was wrong with it. */
export function unauthenticated(challenges?: readonly string[]): Failure {
  return new Failure('unauthenticated', 'This needs a valid login.', challenges && { challenges })
}

/** Whom a credential says it is of, as logs show it; nothing for a token. */
export function nameIn(credential: Credential): string {
  const name = credential.kind === 'password' ? credential.name : credential.kind === 'api-key' ? credential.id : ''
  return shownName(name)
}

function unavailable(cause: Failure): Failure {
  const retryAfterSeconds = cause.retryAfterSeconds ?? 5
  return new Failure('unavailable', 'Logins cannot be checked now. Try again soon.', { retryAfterSeconds, cause })
}

function refusalOf(forbidden: true | undefined, challenges: readonly string[] | undefined): Failure {
  return forbidden ? new Failure('denied', 'Access is denied.') : unauthenticated(challenges)
}

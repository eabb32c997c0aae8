import { Failure, isFailure } from '../core/failure.js'
import { header, type HttpRequest } from '../core/http.js'
import { Asking, SeenHeaders, type SeenCredential } from './asking.js'
import type { LoginEvent } from './audit.js'
import type { CachedDirectory, CredentialKey } from './cached.js'
import { allActions, compileGrants } from './grant.js'
import type { Credential, Directory, Identity } from './identity.js'
import type { Scheme } from './scheme/scheme.js'
import { shownName } from './shown-name.js'
import type { Attempt, Throttle } from './throttle.js'
import { rootPath } from '../core/path.js'

/** Finds out who asks. */
export interface Authenticator {
  /**
   * Throws `unauthenticated`, with one message for all reasons; `throttled` with the seconds to wait; `unavailable` where
   * a source is down and no other accepts.
   */
  authenticate(request: HttpRequest): Promise<Identity>
  /** The values of `WWW-Authenticate` that go with `unauthenticated`. */
  challenges(): readonly string[]
}

export interface AuthenticatorOptions {
  /** In the order in which they are tried. */
  readonly schemes: readonly Scheme[]
  /** In the order in which they are asked: the first that knows a name decides. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  readonly throttle: Throttle
  /** That of the caches. */
  readonly keyOf: CredentialKey
  /** What callers without a credential may do; absent: they are asked for one. */
  readonly anonymous?: { readonly grants: readonly string[] }
  readonly audit: (event: LoginEvent) => void
}

/** Throws `invalid` where the grants of `anonymous` are not right. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { schemes, directories, throttle, keyOf, audit } = options
  const seen = new SeenHeaders(schemes)
  const anonymous: Identity | undefined = options.anonymous && {
    name: 'anonymous',
    source: 'anonymous',
    grants: options.anonymous.grants,
  }
  const anonymousPermit = anonymous && compileGrants(anonymous.grants, anonymous.source)
  const openToAll = allActions.every((action) => anonymousPermit?.allowsAllBelow(action, rootPath) === true)
  const challenges = schemes.map(({ challenge }) => challenge).filter((challenge) => challenge !== undefined)

  function readCredential(request: HttpRequest): Credential | undefined {
    let found: Credential | undefined
    for (const scheme of schemes) {
      const credential = scheme.read(request)
      if (credential === undefined) continue
      // Whichever of two were taken, a proxy in front may have looked at the other.
      if (found !== undefined) throw new Failure('invalid', 'There is more than one credential.')
      found = credential
    }
    const headerIsRead = found?.kind === 'password' || found?.kind === 'bearer'
    if (!headerIsRead && request.headers.has('authorization'))
      throw new Failure('invalid', 'The authentication scheme is not known.')
    return found
  }

  function credentialOf(request: HttpRequest): Credential {
    const credential = readCredential(request)
    if (credential === undefined) throw new Failure('invalid', 'There is no whole credential.')
    return credential
  }

  function asked(request: HttpRequest): Asking {
    try {
      const credential = credentialOf(request)
      return new Asking(request, { kind: credential.kind, key: keyOf(credential) }, () => credential)
    } catch (error) {
      if (!isFailure(error, 'invalid')) throw error
      audit({ event: 'login-failed', name: '', why: 'malformed', ...addressOf(request.peer) })
      throw unauthenticated()
    }
  }

  function withoutCredential(request: HttpRequest): Identity {
    if (anonymous === undefined) throw unauthenticated()
    // Windows never shows a credential unless its first request is refused.
    if (!openToAll && /^Microsoft-WebDAV-MiniRedir\//i.test(header(request, 'user-agent') ?? ''))
      throw unauthenticated()
    return anonymous
  }

  async function remembered(asking: Asking): Promise<Identity | undefined> {
    for (const directory of directories) {
      if (!('remembered' in directory) || !directory.accepts.has(asking.kind)) continue
      const verdict = await directory.remembered(asking)
      if (verdict) return verdict.identity
    }
    return undefined
  }

  /** Of requests that come together, most are of one caller. */
  function rememberedThisTurn({ kind, key }: SeenCredential): Identity | undefined {
    const first = directories.find(({ accepts }) => accepts.has(kind))
    return first && 'remembered' in first ? first.rememberedThisTurn?.(key)?.identity : undefined
  }

  /** Passwords can be guessed; keys and tokens cannot, so they are never slowed. */
  async function enter({ credential, key, facts }: Asking): Promise<Attempt | undefined> {
    if (credential.kind !== 'password') return undefined
    try {
      return await throttle.enter({ name: credential.name, key, ...addressOf(facts) })
    } catch (error) {
      if (isFailure(error, 'throttled'))
        audit({ event: 'login-throttled', name: nameIn(credential), why: 'too-many-failures', ...addressOf(facts) })
      throw error
    }
  }

  async function ask({ credential, facts }: Asking): Promise<Outcome> {
    let down: Failure | undefined
    for (const directory of directories) {
      if (!directory.accepts.has(credential.kind)) continue
      try {
        const verdict = await directory.check(credential, facts)
        if (verdict.kind === 'identity') return { identity: verdict.identity }
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

  async function check(asking: Asking): Promise<Identity> {
    const { credential, facts } = asking
    const attempt = await enter(asking)
    let wrong = false
    try {
      const outcome = await ask(asking)
      if ('identity' in outcome) return outcome.identity
      const { down, answer, ...refusal } = outcome
      // A name that no source knows may be one that the absent source would have known.
      wrong = down === undefined || refusal.source !== undefined
      if (wrong) audit({ event: 'login-failed', name: nameIn(credential), ...refusal, ...addressOf(facts) })
      throw down ? unavailable(down) : answer
    } finally {
      if (wrong) await attempt?.failed()
      else attempt?.passed()
    }
  }

  /** A check whose success is news where the headers are; after a refusal they are new again. */
  async function checked(asking: Asking, seenKey: string): Promise<Identity> {
    const isNew = seen.find(seenKey) === undefined
    try {
      const identity = await check(asking)
      const { credential, facts } = asking
      const name = shownName(identity.name)
      if (isNew) audit({ event: 'login', name, source: identity.source, with: credential.kind, ...addressOf(facts) })
      return identity
    } catch (error) {
      seen.forget(seenKey)
      throw error
    }
  }

  return {
    challenges: () => challenges,
    async authenticate(request) {
      const seenKey = seen.keyOf(request)
      if (seenKey === undefined) return withoutCredential(request)
      const known = seen.find(seenKey)
      const identityThisTurn = known && rememberedThisTurn(known)
      if (identityThisTurn !== undefined) return identityThisTurn
      const asking = known === undefined ? asked(request) : new Asking(request, known, () => credentialOf(request))
      const identity = (await remembered(asking)) ?? (await checked(asking, seenKey))
      if (known === undefined) seen.add(seenKey, { kind: asking.kind, key: asking.key })
      return identity
    },
  }
}

type Outcome =
  | { readonly identity: Identity }
  | {
      /** The source that refused; absent where none knew the name. */
      readonly source?: string
      readonly why: string
      /** What the caller is told, where no source is down. */
      readonly answer: Failure
      /** Why a source that was asked before could not say. */
      readonly down?: Failure
    }

function unavailable(cause: Failure): Failure {
  const retryAfterSeconds = cause.retryAfterSeconds ?? 5
  return new Failure('unavailable', 'Logins cannot be checked now. Try again soon.', { retryAfterSeconds, cause })
}

function unauthenticated(challenges?: readonly string[]): Failure {
  return new Failure('unauthenticated', 'This needs a valid login.', challenges && { challenges })
}

function refusalOf(forbidden: true | undefined, challenges: readonly string[] | undefined): Failure {
  return forbidden ? new Failure('denied', 'Access is denied.') : unauthenticated(challenges)
}

function addressOf({ address }: { readonly address?: string }): { readonly address?: string } {
  return address === undefined ? {} : { address }
}

function nameIn(credential: Credential): string {
  const name = credential.kind === 'password' ? credential.name : credential.kind === 'api-key' ? credential.id : ''
  return shownName(name)
}

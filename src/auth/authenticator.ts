import { Failure, isFailure } from '../core/failure.js'
import { header, type HttpRequest } from '../core/http.js'
import { Asking, SeenHeaders, type SeenCredential } from './asking.js'
import type { LoginEvent } from './audit.js'
import type { CachedDirectory, CredentialKey } from './cached.js'
import { addressOf, createCredentialCheck, loginOf, unauthenticated } from './credential-check.js'
import { allActions, compileGrants } from './grant.js'
import type { Credential, Directory, Identity } from './identity.js'
import type { Scheme } from './scheme/scheme.js'
import type { Throttle } from './throttle.js'
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

/** Callers without a credential. */
export interface AnonymousCallers {
  readonly grants: readonly string[]
  /** The Unix user they act as under privilege separation. */
  readonly unixUser?: string | undefined
  /** Asked before each of them is let in; what it throws they are told. */
  readonly admit?: () => Promise<void>
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
  readonly anonymous?: AnonymousCallers
  readonly audit: (event: LoginEvent) => void
}

/** Throws `invalid` where the grants of `anonymous` are not right. */
export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { schemes, directories, throttle, keyOf, audit } = options
  const seen = new SeenHeaders(schemes)
  const credentials = createCredentialCheck({ directories, throttle, audit })
  const anonymous = options.anonymous && anonymousIdentity(options.anonymous)
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

  async function withoutCredential(request: HttpRequest): Promise<Identity> {
    if (anonymous === undefined) throw unauthenticated()
    // Windows never shows a credential unless its first request is refused.
    if (!openToAll && /^Microsoft-WebDAV-MiniRedir\//i.test(header(request, 'user-agent') ?? ''))
      throw unauthenticated()
    await options.anonymous?.admit?.()
    return anonymous
  }

  /** Of requests that come together, most are of one caller. */
  function rememberedThisTurn({ kind, key }: SeenCredential): Identity | undefined {
    const first = directories.find(({ accepts }) => accepts.has(kind))
    return first && 'remembered' in first ? first.rememberedThisTurn?.(key)?.identity : undefined
  }

  /** A check whose success is news where the headers are; after a refusal they are new again. */
  async function checked(asking: Asking, seenKey: string): Promise<Identity> {
    const isNew = seen.find(seenKey) === undefined
    try {
      const { identity } = await credentials.check(asking)
      if (isNew) audit(loginOf(identity, asking.credential, asking.facts))
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
      const identity = (await credentials.remembered(asking))?.identity ?? (await checked(asking, seenKey))
      if (known === undefined) seen.add(seenKey, { kind: asking.kind, key: asking.key })
      return identity
    },
  }
}

/** Whom all callers without a credential are. */
export function anonymousIdentity({ grants, unixUser }: Omit<AnonymousCallers, 'admit'>): Identity {
  return { name: 'anonymous', source: 'anonymous', grants, ...(unixUser !== undefined && { unixUser }) }
}

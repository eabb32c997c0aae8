import type { JWTPayload, JWSHeaderParameters } from 'jose'
import type { Clock } from '../../core/clock.js'
import type { Directory, Verdict } from '../identity.js'
import type { IssuerKeys } from './issuer-keys.js'
import { callerFrom, groupsAmong, isName } from './outside-caller.js'
import type { CallerGrants } from './outside-caller.js'

export interface OidcOptions extends CallerGrants {
  readonly name: string
  readonly keys: IssuerKeys
  readonly clock: Clock
  /** Exactly as it stands in `iss`. */
  readonly issuer: string
  /** One of these must stand in `aud`. */
  readonly audience: readonly string[]
  readonly algorithms: readonly string[]
  readonly clockToleranceSeconds: number
  /** Claims that must have a value: itself, or one among others in a list. */
  readonly claims: ReadonlyMap<string, string | number | boolean>
  readonly nameClaim: string
  /** A claim, or the way to one in groups of claims: `realm_access.roles`. */
  readonly groupsClaim: string
}

/** What a token can be signed with: public keys only. What is signed with a shared secret could be signed by us. */
export const signatureAlgorithms = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
] as const

const longestToken = 16_384

/**
 * Bearer tokens that an OpenID Connect issuer has signed (JWT, RFC 7519; the checks of RFC 8725). The issuer is asked for
 * its keys and for nothing else, so a token is good until it expires. One of another issuer, or no JWT, is unknown here.
 */
export async function openOidcDirectory(options: OidcOptions): Promise<Directory> {
  const { name, issuer, algorithms, keys, clock, clockToleranceSeconds } = options
  const { jwtVerify, errors } = await import('jose')

  /** The claims, or why they are not believed. */
  async function verified(token: string, header: JWSHeaderParameters): Promise<JWTPayload | string> {
    const rules = {
      issuer,
      audience: [...options.audience],
      algorithms: [...algorithms],
      clockTolerance: clockToleranceSeconds,
      currentDate: new Date(clock.now()),
      requiredClaims: ['exp'],
    }
    let why = 'unknown-key'
    for (const key of await keys.find(header)) {
      try {
        return (await jwtVerify(token, key, rules)).payload
      } catch (error) {
        if (!(error instanceof errors.JOSEError) && !(error instanceof TypeError)) throw error
        why = whyOf(error)
        if (!(error instanceof errors.JWSSignatureVerificationFailed)) return why
      }
    }
    return why
  }

  return {
    name,
    accepts: new Set(['bearer'] as const),
    async check(credential): Promise<Verdict> {
      if (credential.kind !== 'bearer') return { kind: 'unknown' }
      const read = readToken(credential.token)
      if (read?.claims.iss !== issuer) return { kind: 'unknown' }
      const unfit = whyUnfit(read.header, read.claims, algorithms)
      if (unfit !== undefined) return { kind: 'refused', why: unfit }
      const claims = await verified(credential.token, read.header)
      if (typeof claims === 'string') return { kind: 'refused', why: claims }
      return callerOf(claims, options)
    },
  }
}

/** The verdict on claims that the issuer has made, of a token that has not expired. */
function callerOf(claims: JWTPayload, options: OidcOptions): Verdict {
  const { clock, clockToleranceSeconds, nameClaim, groupsClaim } = options
  const refused = (why: string): Verdict => ({ kind: 'refused', why })
  const { exp = 0, iat } = claims
  if (!Number.isFinite(exp)) return refused('exp')
  if (iat !== undefined && iat > clock.now() / 1000 + clockToleranceSeconds) return refused('iat')
  for (const [claim, value] of options.claims)
    if (!holds(claimIn(claims, claim), value)) return refused(`claim ${claim}`)
  const name = claimIn(claims, nameClaim)
  if (typeof name !== 'string' || !isName(name)) return refused('no-name')
  const groups = groupsAmong(textsIn(claimIn(claims, groupsClaim), groupsClaim))
  const verdict = callerFrom(options.name, { name, groups }, options)
  return verdict.kind === 'identity' ? { ...verdict, until: (exp + clockToleranceSeconds) * 1000 } : verdict
}

interface ReadToken {
  readonly header: JWSHeaderParameters
  readonly claims: Readonly<Record<string, unknown>>
}

/** What a token says of itself; undefined for what is no JWT in its one form of writing. */
function readToken(token: string): ReadToken | undefined {
  if (token.length > longestToken) return undefined
  const parts = token.split('.')
  const [header, claims] = parts.slice(0, 2).map(objectIn)
  if (parts.length !== 3 || header === undefined || claims === undefined) return undefined
  // Spare bits in the last character would make several texts of one token.
  return parts.every((part) => Buffer.from(part, 'base64url').toString('base64url') === part)
    ? { header, claims }
    : undefined
}

function objectIn(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const found: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    return typeof found === 'object' && found !== null && !Array.isArray(found)
      ? (found as Readonly<Record<string, unknown>>)
      : undefined
  } catch {
    return undefined
  }
}

/** What no signature can make good. */
function whyUnfit(
  { alg, typ }: JWSHeaderParameters,
  claims: ReadToken['claims'],
  algorithms: readonly string[],
): string | undefined {
  if (typeof alg !== 'string' || !algorithms.includes(alg)) return 'algorithm'
  // The same issuer signs other things too: logout tokens, events, proofs (RFC 8725 §3.11).
  if (typ !== undefined && (typeof typ !== 'string' || !/^(?:application\/)?(?:at\+)?jwt$/i.test(typ))) return 'type'
  if (claims['events'] !== undefined) return 'type'
  // Whoever shows it would have to prove that they hold its key (RFC 7800), and a bearer proves nothing.
  if (claims['cnf'] !== undefined) return 'needs-a-proof'
  return undefined
}

/** A code such as `err_jwt_expired`, without what the token says. */
function whyOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code.toLowerCase() : 'signature'
}

/** Names with dots are claims too (`https://example.org/groups`), so the whole name comes first. */
function claimIn(claims: JWTPayload, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name]
  let at: unknown = claims
  for (const part of name.split('.')) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined
    at = (at as Readonly<Record<string, unknown>>)[part]
  }
  return at
}

function holds(found: unknown, value: string | number | boolean): boolean {
  return Array.isArray(found) ? found.includes(value) : found === value
}

/** The texts of a list, or of one text; scopes are separated by spaces (RFC 8693 §4.2). */
function textsIn(found: unknown, claim: string): readonly string[] {
  const list: readonly unknown[] = Array.isArray(found) ? found : [found]
  const texts = list.filter((item) => typeof item === 'string')
  return claim === 'scope' || claim === 'scp' ? texts.flatMap((text) => text.split(' ')) : texts
}

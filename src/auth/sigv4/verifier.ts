import type { Clock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import type { HttpRequest } from '../../core/http.js'
import type { LoginEvent } from '../audit.js'
import type { CachedDirectory } from '../cached.js'
import { sameBytes } from '../constant-time.js'
import { compileGrants } from '../grant.js'
import type { Directory, Identity } from '../identity.js'
import {
  canonicalHash,
  canonicalHeaders,
  canonicalPath,
  canonicalQuery,
  queryPairs,
  type Pair,
} from './canonical-request.js'
import { algorithm, claimOfHeader, claimOfQuery, malformedHeader, malformedQuery, type Claim } from './claim.js'
import { objectionToHeaders, objectionToTime, requestDate, type Objection } from './claim-checks.js'
import { LoginNotes } from './login-notes.js'
import { mechanismOf } from './mechanism.js'
import { payloadHash, payloadOf } from './payload.js'
import { verifyForm } from './post-form.js'
import type { Proof } from './proof.js'
import { SignedRequest } from './signed-request.js'
import { hostsOf, pathsOf } from './signed-names.js'
import { SigningKeys, type DerivedKey } from './signing-keys.js'
import type { NamedTarget, Signatures, Verified } from './verified.js'

export interface SignaturesOptions {
  /** Those that hold secrets of signatures are asked in this order; the first that knows an id decides. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  readonly clock: Clock
  /** The only region that signatures may name; any without it. */
  readonly region?: string
  /** Under which a proxy may show this server, and strip it from what it passes on; empty without one. */
  readonly basePath: string
  /** What requests without any signature may do; absent: nothing. */
  readonly anonymous?: { readonly grants: readonly string[] }
  readonly audit: (event: LoginEvent) => void
}

/** Verifies AWS Signature Version 4, in headers, URLs and forms. Throws `invalid` where the grants of `anonymous` are not right. */
export function createSignatures(options: SignaturesOptions): Signatures {
  return new SignatureVerifier(options)
}

/** What the work is done with for a key that nobody has, so that it takes as long. */
const nobodysSecret = 'a secret that belongs to no key at all'

class SignatureVerifier implements Signatures {
  readonly #clock: Clock
  readonly #region: string | undefined
  readonly #basePath: string
  readonly #anonymous: Identity | undefined
  readonly #keys: SigningKeys
  readonly #notes: LoginNotes

  constructor({ directories, clock, region, basePath, anonymous, audit }: SignaturesOptions) {
    this.#clock = clock
    this.#region = region
    this.#basePath = basePath
    this.#anonymous = anonymous && { name: 'anonymous', source: 'anonymous', grants: anonymous.grants }
    if (anonymous !== undefined) compileGrants(anonymous.grants, 'anonymous')
    this.#keys = new SigningKeys(directories, audit)
    this.#notes = new LoginNotes(audit)
  }

  async verify(request: HttpRequest, target: NamedTarget): Promise<Verified> {
    const pairs = queryPairs(queryOf(request.target))
    const mechanism = this.#noted('', request, () => mechanismOf(request, pairs))
    switch (mechanism.by) {
      case 'header': {
        const claim = this.#noted('', request, () => claimOfHeader(mechanism.authorization, requestDate(request)))
        return this.#verifyClaim(request, claim, pairs)
      }
      case 'query': {
        const claim = this.#noted('', request, () => claimOfQuery(mechanism.parameters))
        return this.#verifyClaim(
          request,
          claim,
          pairs.filter(([name]) => name !== 'X-Amz-Signature'),
        )
      }
      case 'form':
        return this.#verifyForm(request, target)
      case 'nobody':
        if (this.#anonymous === undefined) throw denied('Access is denied: the request is not signed.')
        return verified(request, this.#anonymous, { by: 'nobody' })
      default:
        return mechanism satisfies never
    }
  }

  async #verifyClaim(request: HttpRequest, claim: Claim, pairs: readonly Pair[]): Promise<Verified> {
    const { accessKeyId } = claim
    this.#noted(accessKeyId, request, () => {
      this.#requireRegion(claim.region, claim.by)
    })
    const payload = payloadHash(request, claim.by)
    this.#refuse(objectionToTime(claim, this.#clock.now()) ?? objectionToHeaders(claim, request), claim, request)
    const found = await this.#keys.find(accessKeyId)
    const secret = found?.secret ?? nobodysSecret
    const key = this.#keys.derive(secret, claim)
    const isRight = this.#isSigned(request, claim, key, canonicalQuery(pairs), payload)
    if (found === undefined) this.#refuse(unknownKey(), claim, request)
    if (found === undefined || !isRight) throw this.#refusal(wrongSignature(), claim, request)
    this.#keys.keep(secret, claim, key)
    this.#notes.entered(accessKeyId, found.identity, request)
    return verified(request, found.identity, proofOf(claim, key))
  }

  /** Whether the signature is that of the request, by one of the names under which the client may have known this server. */
  #isSigned(request: HttpRequest, claim: Claim, key: DerivedKey, query: string, payload: string): boolean {
    const { method, headers } = request
    const { names, signedHeaders, date, scope } = claim
    const claimed = Buffer.from(claim.signature, 'hex')
    const paths = pathsOf(request.target, this.#basePath).map(canonicalPath)
    for (const host of hostsOf(request)) {
      const lines = canonicalHeaders(headers, names, host)
      for (const path of paths) {
        const hash = canonicalHash({ method, path, query, headers: lines, signedHeaders, payload })
        const wanted = key.sign(`${algorithm}\n${date}\n${scope}\n${hash}`)
        if (sameBytes(Buffer.from(wanted, 'base64'), claimed)) return true
      }
    }
    return false
  }

  async #verifyForm(request: HttpRequest, { bucket }: NamedTarget): Promise<Verified> {
    if (bucket === undefined)
      throw new Failure('method', 'A form must be sent to a bucket.', { reason: 'MethodNotAllowed' })
    let accessKeyId = ''
    try {
      const { identity, body, form, signed } = await verifyForm(request, bucket, {
        keys: async (scope) => {
          accessKeyId = scope.accessKeyId
          this.#requireRegion(scope.region, 'header')
          const found = await this.#keys.find(accessKeyId)
          const key = this.#keys.derive(found?.secret ?? nobodysSecret, scope)
          return found && { identity: found.identity, signingKey: key.bytes }
        },
        anonymous: this.#anonymous,
        now: this.#clock.now(),
      })
      if (signed) this.#notes.entered(accessKeyId, identity, request)
      return { identity, request: new SignedRequest(request, body, signed ? 'form' : 'nobody', form) }
    } catch (error) {
      if (isFailure(error, 'denied')) this.#notes.refused(accessKeyId, whyOf(error), request)
      throw error
    }
  }

  #requireRegion(region: string, by: Claim['by']): void {
    if (this.#region === undefined || region === this.#region) return
    const why = `the region '${region}' is wrong; expecting '${this.#region}'`
    throw by === 'header'
      ? malformedHeader(why)
      : malformedQuery(`Error parsing the X-Amz-Credential parameter; ${why}`)
  }

  #refuse(objection: Objection | undefined, claim: Claim, request: HttpRequest): void {
    if (objection !== undefined) throw this.#refusal(objection, claim, request)
  }

  #refusal({ why, failure }: Objection, { accessKeyId }: Claim, request: HttpRequest): Failure {
    this.#notes.refused(accessKeyId, why, request)
    return failure
  }

  /** What cannot be understood is told of as well. */
  #noted<T>(accessKeyId: string, request: HttpRequest, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (isFailure(error)) this.#notes.refused(accessKeyId, 'malformed', request)
      throw error
    }
  }
}

function verified(request: HttpRequest, identity: Identity, proof: Proof): Verified {
  return { identity, request: new SignedRequest(request, payloadOf(request, proof), proof.by) }
}

function proofOf({ by, date, scope, signature }: Claim, { bytes }: DerivedKey): Proof {
  return by === 'header' ? { by, date, scope, signature, signingKey: bytes } : { by }
}

function queryOf(target: string): string {
  const mark = target.indexOf('?')
  return mark === -1 ? '' : target.slice(mark + 1)
}

function unknownKey(): Objection {
  const message = 'The AWS Access Key Id you provided does not exist in our records.'
  return { why: 'unknown-key', failure: new Failure('denied', message, { reason: 'InvalidAccessKeyId' }) }
}

function wrongSignature(): Objection {
  const message =
    'The request signature we calculated does not match the signature you provided. Check your secret access key and ' +
    'signing method.'
  return { why: 'bad-signature', failure: new Failure('denied', message, { reason: 'SignatureDoesNotMatch' }) }
}

function denied(message: string): Failure {
  return new Failure('denied', message, { reason: 'AccessDenied' })
}

/** Of a form that is refused. */
function whyOf({ reason }: Failure): string {
  if (reason === 'InvalidAccessKeyId') return 'unknown-key'
  if (reason === 'SignatureDoesNotMatch') return 'bad-signature'
  return 'not-allowed'
}

import type { Clock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import type { LoginEvent } from '../audit.js'
import { anonymousIdentity } from '../authenticator.js'
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
import { type ChainLink, isSigned, KeyedChunkSignatures } from './chunk-signatures.js'
import {
  algorithm,
  claimOfHeader,
  claimOfQuery,
  malformedHeader,
  malformedQuery,
  scopeText,
  type Claim,
} from './claim.js'
import { objectionToHeaders, objectionToTime, provenUntil, requestDate, type Objection } from './claim-checks.js'
import { judgeForm } from './form-judge.js'
import type { JudgedForm, JudgedHead, SentForm, SignatureJudge, SignedHead } from './judge.js'
import { LoginNotes } from './login-notes.js'
import { mechanismOf } from './mechanism.js'
import { payloadHash } from './payload.js'
import type { Proof } from './proof.js'
import { hostsOf, pathsOf } from './signed-names.js'
import { SigningKeys, type DerivedKey, type KeyScope } from './signing-keys.js'

export interface KeyedJudgeOptions {
  /** Those that hold secrets of signatures are asked in this order; the first that knows an id decides. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  readonly clock: Clock
  /** The only region that signatures may name; any without it. */
  readonly region?: string
  /** Under which a proxy may show this server, and strip it from what it passes on; empty without one. */
  readonly basePath: string
  /** What requests without any signature may do; absent: nothing. */
  readonly anonymous?: { readonly grants: readonly string[]; readonly unixUser?: string | undefined }
  readonly audit: (event: LoginEvent) => void
}

/** A chain of signatures by whom an earlier request came from. */
export interface SentChain extends KeyScope {
  /** `x-amz-date` of the request, as signed. */
  readonly date: string
  readonly links: readonly ChainLink[]
}

/** A judge that looks keys up in directories. */
export interface KeyedJudge extends SignatureJudge {
  /** The first that is wrong of these links of a chain; undefined where none is. Throws `unavailable`. */
  wrongLink(chain: SentChain): Promise<ChainLink | undefined>
}

/** Judges AWS Signature Version 4, in headers, URLs and forms. Throws `invalid` where the grants of `anonymous` are not right. */
export function createKeyedJudge(options: KeyedJudgeOptions): KeyedJudge {
  return new DirectoryJudge(options)
}

/** What the work is done with for a key that nobody has, so that it takes as long. */
const nobodysSecret = 'a secret that belongs to no key at all'

class DirectoryJudge implements KeyedJudge {
  readonly #clock: Clock
  readonly #region: string | undefined
  readonly #basePath: string
  readonly #anonymous: Identity | undefined
  readonly #keys: SigningKeys
  readonly #notes: LoginNotes

  constructor({ directories, clock, region, basePath, anonymous, audit }: KeyedJudgeOptions) {
    this.#clock = clock
    this.#region = region
    this.#basePath = basePath
    this.#anonymous = anonymous && anonymousIdentity(anonymous)
    if (anonymous !== undefined) compileGrants(anonymous.grants, 'anonymous')
    this.#keys = new SigningKeys(directories, audit)
    this.#notes = new LoginNotes(audit)
  }

  async head(request: SignedHead): Promise<JudgedHead | undefined> {
    const pairs = queryPairs(queryOf(request.target))
    const mechanism = this.#noted('', request, () => mechanismOf(request, pairs))
    switch (mechanism.by) {
      case 'header': {
        const claim = this.#noted('', request, () => claimOfHeader(mechanism.authorization, requestDate(request)))
        return this.#judge(request, claim, pairs)
      }
      case 'query': {
        const claim = this.#noted('', request, () => claimOfQuery(mechanism.parameters))
        return this.#judge(
          request,
          claim,
          pairs.filter(([name]) => name !== 'X-Amz-Signature'),
        )
      }
      case 'form':
        return undefined
      case 'nobody':
        if (this.#anonymous === undefined) throw denied('Access is denied: the request is not signed.')
        return { identity: this.#anonymous, proof: { by: 'nobody' } }
      default:
        return mechanism satisfies never
    }
  }

  async form(form: SentForm, request: SignedHead): Promise<JudgedForm> {
    let accessKeyId = ''
    try {
      const judged = await judgeForm(form, {
        keys: async (scope) => {
          accessKeyId = scope.accessKeyId
          this.#requireRegion(scope.region, 'header')
          const found = await this.#keys.find(accessKeyId)
          const { sign } = this.#keys.derive(found?.secret ?? nobodysSecret, scope)
          return found && { identity: found.identity, sign }
        },
        anonymous: this.#anonymous,
        now: this.#clock.now(),
      })
      if (judged.signed) this.#notes.entered(accessKeyId, judged.identity, request)
      return judged
    } catch (error) {
      if (isFailure(error, 'denied')) this.#notes.refused(accessKeyId, whyOf(error), request)
      throw error
    }
  }

  async wrongLink({ links, ...scope }: SentChain): Promise<ChainLink | undefined> {
    const key = (await this.#keys.shown(scope)) ?? this.#keys.derive(nobodysSecret, scope)
    const chain = { sign: key.sign, date: scope.date, scope: scopeText(scope) }
    return links.find((link) => !isSigned(chain, link))
  }

  async #judge(request: SignedHead, claim: Claim, pairs: readonly Pair[]): Promise<JudgedHead> {
    const { accessKeyId } = claim
    this.#noted(accessKeyId, request, () => {
      this.#requireRegion(claim.region, claim.by)
    })
    const payload = payloadHash(request, claim.by)
    this.#refuse(objectionToTime(claim, this.#clock.now()) ?? objectionToHeaders(claim, request), claim, request)
    const found = await this.#keys.find(accessKeyId)
    const secret = found?.secret ?? nobodysSecret
    const key = this.#keys.derive(secret, claim)
    const isRight = this.#isRight(request, claim, key, canonicalQuery(pairs), payload)
    if (found === undefined) this.#refuse(unknownKey(), claim, request)
    if (found === undefined || !isRight) throw this.#refusal(wrongSignature(), claim, request)
    this.#keys.keep(secret, claim, key)
    this.#notes.entered(accessKeyId, found.identity, request)
    return { identity: found.identity, proof: proofOf(claim, key), until: provenUntil(claim) }
  }

  /** Whether the signature is that of the request, by one of the names under which the client may have known this server. */
  #isRight(request: SignedHead, claim: Claim, key: DerivedKey, query: string, payload: string): boolean {
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

  #requireRegion(region: string, by: Claim['by']): void {
    if (this.#region === undefined || region === this.#region) return
    const why = `the region '${region}' is wrong; expecting '${this.#region}'`
    throw by === 'header'
      ? malformedHeader(why)
      : malformedQuery(`Error parsing the X-Amz-Credential parameter; ${why}`)
  }

  #refuse(objection: Objection | undefined, claim: Claim, request: SignedHead): void {
    if (objection !== undefined) throw this.#refusal(objection, claim, request)
  }

  #refusal({ why, failure }: Objection, { accessKeyId }: Claim, request: SignedHead): Failure {
    this.#notes.refused(accessKeyId, why, request)
    return failure
  }

  /** What cannot be understood is told of as well. */
  #noted<T>(accessKeyId: string, request: SignedHead, read: () => T): T {
    try {
      return read()
    } catch (error) {
      if (isFailure(error)) this.#notes.refused(accessKeyId, 'malformed', request)
      throw error
    }
  }
}

function proofOf({ by, date, scope, signature }: Claim, { sign }: DerivedKey): Proof {
  if (by !== 'header') return { by }
  return { by, chunks: () => new KeyedChunkSignatures({ sign, date, scope }, signature) }
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

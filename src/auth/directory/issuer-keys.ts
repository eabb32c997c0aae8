import type { CryptoKey, JSONWebKeySet, JWSHeaderParameters } from 'jose'
import type { Clock } from '../../core/clock.js'
import { Failure, isFailure } from '../../core/failure.js'
import { isLoopback } from './forward-service.js'

/** The public keys of an issuer of tokens. */
export interface IssuerKeys {
  /**
   * Those that can have signed a token with this header, at most a handful; none for a key that the issuer does not have.
   * Throws `unavailable` where the issuer has to be asked and cannot be.
   */
  find(header: JWSHeaderParameters): Promise<readonly CryptoKey[]>
}

export interface IssuerKeysOptions {
  readonly issuer: string
  /** Where the keys are, for an issuer without a discovery document. */
  readonly keysUrl?: string
  /** Plain HTTP counts elsewhere than on this machine too. */
  readonly allowHttp: boolean
  readonly timeoutSeconds: number
  readonly clock: Clock
}

/** How old keys become before they are looked at again; meanwhile, and while the issuer is down, they go on. */
const freshSeconds = 600
/** The least time between two questions to the issuer, whatever keys tokens name. */
const pauseSeconds = 15
const mostBytes = 262_144
const mostKeys = 100
const mostCandidates = 8

interface KeySet {
  readonly find: (header: JWSHeaderParameters) => Promise<readonly CryptoKey[]>
  readonly since: number
}

/** Asks for the keys when the first token comes: an issuer that is down keeps no server from starting. */
export async function openIssuerKeys(options: IssuerKeysOptions): Promise<IssuerKeys> {
  const { clock } = options
  const jose = await import('jose')
  let keys: KeySet | undefined
  let tried = -Infinity
  let failed: unknown
  let running: Promise<KeySet> | undefined

  async function candidates(
    getKey: ReturnType<typeof jose.createLocalJWKSet>,
    header: JWSHeaderParameters,
  ): Promise<readonly CryptoKey[]> {
    try {
      return [await getKey(header)]
    } catch (error) {
      if (!(error instanceof jose.errors.JWKSMultipleMatchingKeys)) return []
      const several: CryptoKey[] = []
      for await (const key of error) if (several.push(key) === mostCandidates) break
      return several
    }
  }

  async function load(): Promise<KeySet> {
    tried = clock.now()
    try {
      const getKey = jose.createLocalJWKSet(await fetchKeys(options))
      keys = { find: (header) => candidates(getKey, header), since: tried }
      failed = undefined
      return keys
    } catch (error) {
      failed = error
      throw error
    } finally {
      running = undefined
    }
  }

  /** One question at a time, and none so soon after another; undefined where it is too soon. */
  function again(): Promise<KeySet> | undefined {
    if (running === undefined && Math.abs(clock.now() - tried) >= pauseSeconds * 1000) running = load()
    return running
  }

  return {
    async find(header) {
      if (keys !== undefined) {
        if (Math.abs(clock.now() - keys.since) >= freshSeconds * 1000) again()?.catch(() => undefined)
        const found = await keys.find(header)
        if (found.length > 0) return found
      }
      try {
        const found = await (await again())?.find(header)
        if (found !== undefined) return found
      } catch (error) {
        throw isFailure(error) ? error : unavailable(error)
      }
      if (failed !== undefined) throw isFailure(failed) ? failed : unavailable(failed)
      return []
    },
  }
}

/** Whether this may be asked for keys: whoever can change them on their way can be everybody. */
export function isSafeUrl(text: string, allowHttp: boolean): boolean {
  if (!/^https?:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return false
  const { protocol, hostname, username, password, hash } = new URL(text)
  if (username !== '' || password !== '' || hash !== '') return false
  return protocol === 'https:' || allowHttp || isLoopback(hostname)
}

async function fetchKeys(options: IssuerKeysOptions): Promise<JSONWebKeySet> {
  const url = options.keysUrl ?? (await discover(options))
  const found = await fetchJson(url, options)
  if (!Array.isArray(found['keys']) || found['keys'].length > mostKeys)
    throw unavailable(new Error(`${url} holds no list of at most ${mostKeys} keys`))
  return found as unknown as JSONWebKeySet
}

/** OpenID Connect Discovery 1.0 §4: the document must name the issuer that it was asked of (§4.3). */
async function discover(options: IssuerKeysOptions): Promise<string> {
  const { issuer, allowHttp } = options
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const found = await fetchJson(url, options)
  if (found['issuer'] !== issuer) throw unavailable(new Error(`${url} is of another issuer`))
  const keysUrl = found['jwks_uri']
  if (typeof keysUrl !== 'string' || !isSafeUrl(keysUrl, allowHttp))
    throw unavailable(new Error(`${url} names no safe jwks_uri`))
  return keysUrl
}

async function fetchJson(
  url: string,
  { timeoutSeconds }: IssuerKeysOptions,
): Promise<Readonly<Record<string, unknown>>> {
  const signal = AbortSignal.timeout(timeoutSeconds * 1000)
  const response = await fetch(url, { redirect: 'error', signal, headers: { accept: 'application/json' } })
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Breaking out of the loop closes the connection.
  const body: AsyncIterable<Uint8Array> | null = response.body
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (response.status !== 200 || bytes > mostBytes) break
    chunks.push(chunk)
  }
  if (response.status !== 200) throw unavailable(new Error(`${url} answered ${response.status}`))
  if (bytes > mostBytes) throw unavailable(new Error(`${url} is longer than ${mostBytes} bytes`))
  const found: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'))
  if (typeof found !== 'object' || found === null || Array.isArray(found))
    throw unavailable(new Error(`${url} is no JSON object`))
  return found as Readonly<Record<string, unknown>>
}

function unavailable(cause: unknown): Failure {
  return new Failure('unavailable', 'The issuer of the tokens cannot be asked for its keys.', {
    retryAfterSeconds: pauseSeconds,
    cause,
  })
}

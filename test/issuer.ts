import { SignJWT, exportJWK, generateKeyPair } from 'jose'
import type { CryptoKey, JWK, JWTHeaderParameters } from 'jose'
import { toyService } from './auth-service.js'
import type { ToyService } from './auth-service.js'

export interface IssuerKey {
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
}

/** An OpenID Connect issuer that serves its discovery document and the keys of the moment. */
export interface ToyIssuer extends ToyService {
  readonly issuer: string
  /** What its key document holds; may be changed. */
  keys: readonly JWK[]
  /** What its discovery document says otherwise; may be changed. */
  discovery: Readonly<Record<string, unknown>>
  /** Answers everything with this status, where it is set. */
  broken: number | undefined
  /** How often its keys were asked for. */
  keysAsked(): number
  /** A token of these claims; good ones by default. */
  sign(
    key: IssuerKey,
    claims?: Readonly<Record<string, unknown>>,
    header?: Partial<JWTHeaderParameters>,
  ): Promise<string>
}

export async function makeKey(alg: string, kid: string): Promise<IssuerKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { privateKey, publicJwk: { ...(await exportJWK(publicKey)), alg, kid, use: 'sig' } }
}

/** `seconds` is the time by which its tokens are made. */
export async function toyIssuer(seconds: () => number): Promise<ToyIssuer> {
  const toy = await toyService((heard, response) => {
    const send = (value: unknown): void =>
      void response.writeHead(issuer.broken ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(value))
    if (heard.url === '/realm/.well-known/openid-configuration')
      send({ issuer: issuer.issuer, jwks_uri: `${origin}/realm/keys`, ...issuer.discovery })
    else if (heard.url === '/realm/keys') send({ keys: issuer.keys })
    else response.writeHead(404).end()
  })
  const origin = new URL(toy.url).origin
  const issuer: ToyIssuer = {
    ...toy,
    issuer: `${origin}/realm`,
    keys: [],
    discovery: {},
    broken: undefined,
    keysAsked: () => toy.heard.filter(({ url }) => url === '/realm/keys').length,
    sign: ({ privateKey, publicJwk }, claims = {}, header = {}) => {
      const now = seconds()
      const all = { iss: issuer.issuer, aud: 'postern', sub: 'alice', iat: now, exp: now + 300, ...claims }
      // A claim that is set to undefined is left out.
      return new SignJWT(JSON.parse(JSON.stringify(all)) as Record<string, unknown>)
        .setProtectedHeader({
          alg: publicJwk.alg ?? '',
          ...(publicJwk.kid !== undefined && { kid: publicJwk.kid }),
          ...header,
        })
        .sign(privateKey)
    },
  }
  return issuer
}

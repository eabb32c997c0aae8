import { z } from 'zod'
import { isSafeUrl, openIssuerKeys } from '../../auth/directory/issuer-keys.js'
import { openOidcDirectory, signatureAlgorithms } from '../../auth/directory/oidc.js'
import { systemClock } from '../../core/clock.js'
import { isFailure } from '../../core/failure.js'
import { flag, grant, listOf, objectOf, oneOf, text, whole } from '../schema-parts.js'
import { identityKind } from './kind.js'
import { reasonIn } from './reason-in.js'

const url = text.refine((value) => isSafeUrl(value, true), 'must be a URL such as https://id.example.org')

/** Tokens of an OpenID Connect issuer. */
export const oidcKind = identityKind({
  description:
    'Bearer tokens (JWT) that an OpenID Connect issuer has signed: Keycloak, Entra ID, Google, GitHub and GitLab jobs, and others. Its keys are found by discovery and followed when they change. A token is good until it expires: the issuer is not asked about it.',
  example: 'oidc: { issuer: "https://id.example.org", audience: postern, groupGrants: { editors: ["rw:/shared/**"] } }',
  schema: objectOf({
    issuer: url.meta({ description: 'Exactly as it stands in the claim `iss`, slash at the end included.' }),
    audience: z
      .union([text, listOf(text).min(1, 'must not be empty')], { error: 'must be text or a list of texts' })
      .meta({ description: 'What must stand in the claim `aud`: a text, or a list of which one must.' }),
    keysUrl: url.optional().meta({
      description: 'Where the keys (JWKS) are, for an issuer without `/.well-known/openid-configuration`.',
    }),
    algorithms: listOf(oneOf(...signatureAlgorithms))
      .min(1, 'must not be empty')
      .default([...signatureAlgorithms])
      .meta({
        description: `How tokens may be signed; without it ${signatureAlgorithms.join(', ')}. Shared secrets and \`none\` never count.`,
      }),
    clockToleranceSeconds: whole(0, 300).default(30).meta({
      description: 'How far the clocks of issuer and server may be apart; 30 without it.',
    }),
    claims: z
      .record(text, z.union([z.string(), z.number(), z.boolean()]), { error: 'must be a group of claims and values' })
      .default({})
      .meta({ description: 'Claims that a token must have, with their values: `{ email_verified: true }`.' }),
    nameClaim: text.default('sub').meta({
      description:
        'The claim that names the caller; `sub` without it. Take only one that people cannot choose for themselves at the issuer.',
    }),
    groupsClaim: text.default('groups').meta({
      description: 'The claim that lists its groups; `groups` without it. Dots lead inwards: `realm_access.roles`.',
    }),
    grants: listOf(grant).default([]).meta({
      description: 'What everybody may do who has a good token; `{user}` stands for the name.',
    }),
    groupGrants: z
      .record(text, listOf(grant), { error: 'must be a group of group names and grants' })
      .default({})
      .meta({ description: 'What the members of a group may do besides: `{ editors: ["rw:/shared/**"] }`.' }),
    timeoutSeconds: whole(1, 60).default(5).meta({
      description: 'How long the issuer may take to tell its keys; 5 without it.',
    }),
    allowHttp: flag.default(false).meta({
      description:
        'Believe keys that come over plain HTTP from another machine. Whoever can change them on their way can be everybody.',
    }),
  }).superRefine(({ issuer, keysUrl, allowHttp }, context) => {
    for (const [key, value] of Object.entries({ issuer, keysUrl }))
      if (value !== undefined && !isSafeUrl(value, allowHttp))
        context.addIssue({ code: 'custom', path: [key], message: 'must be https, but on this machine' })
  }),
  async open(name, settings, { clock }) {
    const { issuer, audience, keysUrl, allowHttp, timeoutSeconds, claims, groupGrants, ...rest } = settings
    const keys = await openIssuerKeys({
      issuer,
      allowHttp,
      timeoutSeconds,
      clock,
      ...(keysUrl !== undefined && { keysUrl }),
    })
    const directory = await openOidcDirectory({
      ...rest,
      name,
      keys,
      clock,
      issuer,
      audience: typeof audience === 'string' ? [audience] : audience,
      claims: new Map(Object.entries(claims)),
      groupGrants: new Map(Object.entries(groupGrants)),
    })
    return { directory }
  },
  async probe({ issuer, keysUrl, allowHttp, timeoutSeconds }) {
    const where = { issuer, allowHttp, timeoutSeconds, clock: systemClock, ...(keysUrl !== undefined && { keysUrl }) }
    try {
      await (await openIssuerKeys(where)).find({ alg: 'RS256', kid: 'postern check' })
      return `the issuer ${issuer} tells its keys`
    } catch (error) {
      if (isFailure(error, 'unavailable'))
        return `the issuer does not tell its keys, so its tokens get a 503: ${reasonIn(error)}. Look at issuer and keysUrl`
      throw error
    }
  },
})

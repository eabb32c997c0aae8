import { tokensDirectory } from '../../auth/directory/tokens.js'
import { readTokenHash } from '../../auth/token-hash.js'
import { checkUserName } from '../../catalog/accounts.js'
import { systemClock } from '../../core/clock.js'
import { parseDate } from '../../core/date.js'
import { grant, listOf, objectOf, text } from '../schema-parts.js'
import { bytesOfHash, tokenHash } from '../token-hash.js'
import { actsAs } from '../schema-privsep.js'
import { expanded } from './expanded.js'
import { identityKind } from './kind.js'

const entry = objectOf({
  name: text.refine(isName, 'must be a name of 1 to 64 characters without / : \\ and control characters').meta({
    description:
      'Who it is, in logs and lock owners. Two entries of one name are one caller: so a token is replaced without a gap.',
  }),
  sha256: tokenHash.meta({
    description:
      'SHA-256 of the token as base64 or lower-case hex. `postern token create --s3-dropbox` makes a token and its hash.',
  }),
  grants: listOf(grant).meta({ description: 'What it may do.' }),
  expires: text
    .refine((value) => parseDate(value) !== undefined, 'must be a date such as "2027-01-31" or "2027-01-31T12:00:00Z"')
    .optional()
    .meta({ description: 'From when on it is refused, such as "2027-01-31", in UTC. Never without it.' }),
  unixUser: actsAs.optional().meta({
    description:
      'The Unix user that it acts as under privilege separation, or `{user}` for the one of its name. It acts as nobody without.',
  }),
})

/** Bearer tokens whose hashes stand in the configuration. */
export const tokensKind = identityKind({
  description:
    'Bearer tokens that the configuration knows by their hashes. A changed configuration counts from the moment it is applied; for tokens that are revoked by a command, use those of the catalog.',
  example:
    '{ tokens: [{ name: sensor, sha256: "ZoVpVANnsemHCEujDKj+YQWyijBB0fwTDH0HFM2eRDQ=", grants: ["create:/inbox/**"] }] }',
  schema: listOf(entry).superRefine((entries, context) => {
    const seen = new Map<string, number>()
    entries.forEach(({ sha256 }, index) => {
      const hash = Buffer.from(readTokenHash(sha256) ?? []).toString('hex')
      const earlier = seen.get(hash)
      if (earlier === undefined) seen.set(hash, index)
      else if (hash !== '')
        context.addIssue({ code: 'custom', path: [index, 'sha256'], message: `is that of entry ${earlier} already` })
    })
  }),
  open: async (name, entries, { clock }) => {
    const tokens = entries.map(({ name: whom, sha256, grants, expires, unixUser }) => {
      const end = expires === undefined ? undefined : parseDate(expires)
      return {
        name: checkUserName(whom),
        hash: bytesOfHash(sha256),
        grants,
        ...(end !== undefined && { expires: end }),
        ...(unixUser !== undefined && { unixUser: unixUser.replaceAll('{user}', checkUserName(whom)) }),
      }
    })
    return { directory: tokensDirectory({ name, tokens, clock }) }
  },
  async probe(entries) {
    const over = entries.filter(hasEnded).map(({ name }) => name)
    return `${entries.length} tokens${over.length > 0 ? `; refused because their time is over: ${over.join(', ')}` : ''}`
  },
  async lookUp(entries, wanted) {
    const known = entries.filter(({ name }) => checkUserName(name) === wanted.normalize('NFC'))
    return known.map((one) => ({
      what: 'token' as const,
      ...(hasEnded(one) ? { refused: `it has expired (${one.expires ?? ''})` } : expanded(one.grants, one.name)),
    }))
  },
})

function hasEnded({ expires }: { readonly expires?: string | undefined }): boolean {
  const end = expires === undefined ? undefined : parseDate(expires)
  return end !== undefined && end <= systemClock.now()
}

function isName(value: string): boolean {
  try {
    return checkUserName(value) !== ''
  } catch {
    return false
  }
}

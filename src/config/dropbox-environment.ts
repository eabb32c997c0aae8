import { readTokenHash } from '../auth/token-hash.js'
import { Failure } from '../core/failure.js'
import type { Settings } from './schema.js'

/** What the variables of s3-dropbox stand for. */
export interface DropboxEnvironment {
  /** An entry of the source `tokens`: known, with no right of its own. */
  readonly token?: { readonly name: string; readonly sha256: string; readonly grants: readonly string[] }
  /** The origin lock. */
  readonly lock?: { readonly header: string; readonly sha256: readonly string[] }
  readonly warnings: readonly string[]
}

const notHashed =
  'is not the hash of a token: 44 characters of base64, such as "postern token create --s3-dropbox" prints'

/**
 * `AUTH_TOKEN`, `CDN_TOKEN` and `CDN_TOKEN_HTTP_HEADER_NAME` of s3-dropbox. The first is a name that others use too, so
 * a value that is no hash is left alone with a warning. Throws `invalid` where a lock is meant and only half of it is there.
 */
export function dropboxEnvironment(environment: Readonly<Record<string, string | undefined>>): DropboxEnvironment {
  const set = (name: string): string | undefined => (environment[name] === '' ? undefined : environment[name])
  const [sha256, cdn, header] = [set('AUTH_TOKEN'), set('CDN_TOKEN'), set('CDN_TOKEN_HTTP_HEADER_NAME')]
  if (sha256 === undefined) return { warnings: [] }
  if (readTokenHash(sha256) === undefined) return { warnings: [`AUTH_TOKEN ${notHashed}. It is not used.`] }
  const token = { name: 's3-dropbox', sha256, grants: [] }
  if (cdn === undefined && header === undefined) return { token, warnings: [] }
  if (cdn === undefined || header === undefined)
    throw new Failure('invalid', 'CDN_TOKEN and CDN_TOKEN_HTTP_HEADER_NAME go together: set both, or neither.')
  if (readTokenHash(cdn) === undefined) throw new Failure('invalid', `CDN_TOKEN ${notHashed}.`)
  return { token, lock: { header, sha256: [cdn] }, warnings: [] }
}

/** Whether the environment is that of s3-dropbox: a bucket and a token. */
export function isDropOnly(environment: Readonly<Record<string, string | undefined>>): boolean {
  const { BUCKET: bucket = '', AUTH_TOKEN: token = '' } = environment
  return bucket !== '' && token !== ''
}

/** What keeps such an environment from being served. */
export function dropOnlyProblem(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  if (readTokenHash(environment['AUTH_TOKEN'] ?? '') === undefined)
    return `BUCKET and AUTH_TOKEN mean a drop alone, and AUTH_TOKEN ${notHashed}. To serve files, name them: postern serve DIR`
  return isCdnOff(environment) && (environment['CDN_TOKEN'] ?? '') !== '' ? contradiction : undefined
}

/** Whether the environment says that no CDN is in front. */
export function isCdnOff(environment: Readonly<Record<string, string | undefined>>): boolean {
  return /^(?:off|false)$/i.test(environment['POSTERN_CDN'] ?? '')
}

/** One of them is a mistake, and only one of the two ways is safe. */
const contradiction =
  'cdn: off (POSTERN_CDN) says that no CDN is in front, and CDN_TOKEN or originLock names the token of one. Leave out what does not hold'

/** Throws `invalid` for drops that would be open to whoever finds the way past the CDN, and for those that cannot be. */
export function checkDrops(
  settings: Pick<Settings, 'drops' | 'cdn' | 'originLock' | 'privsep' | 'mail' | 'webhooks'>,
  { token, lock }: Pick<DropboxEnvironment, 'token' | 'lock'>,
  where: (key: 'drops') => string,
): void {
  const { drops, cdn, originLock, privsep } = settings
  if (drops.length === 0) return
  if (privsep !== undefined)
    throw new Failure('invalid', `${where('drops')} not with privsep: a sender has no Unix user to act as`)
  for (const { path, notify } of drops) {
    if (notify !== undefined && notify.mail.length > 0 && settings.mail === undefined)
      throw new Failure(
        'invalid',
        `${where('drops')} ${path} notifies by mail, and nothing says how: set mail (docs/mail.md)`,
      )
    if (notify?.webhook !== undefined && !settings.webhooks.some(({ name }) => name === notify.webhook))
      throw new Failure('invalid', `${where('drops')} ${path} notifies ${notify.webhook}, and no webhook has that name`)
  }
  if (cdn !== undefined && (lock !== undefined || originLock !== undefined))
    throw new Failure('invalid', `${where('drops')} ${contradiction}`)
  const isLocked = lock !== undefined || originLock !== undefined || cdn !== undefined
  if (token !== undefined && !isLocked && drops.some((drop) => drop.cdn === undefined))
    throw new Failure('invalid', `${where('drops')} ${aloneText}`)
}

/** Said where `AUTH_TOKEN` is set and nothing of a CDN. */
export const aloneText =
  'AUTH_TOKEN is set without CDN_TOKEN and CDN_TOKEN_HTTP_HEADER_NAME. Set both, or POSTERN_CDN=off where no CDN is in front'

/** The list of identity sources with one more entry in its `tokens`; what is no list is left as it is. */
export function withToken(identity: unknown, token: DropboxEnvironment['token']): unknown {
  if (token === undefined || !Array.isArray(identity)) return identity
  const entries: readonly unknown[] = identity
  const at = entries.findIndex((entry) => tokensOf(entry) !== undefined)
  const joined = { tokens: [...(tokensOf(entries[at]) ?? []), token] }
  return at === -1 ? [...entries, joined] : entries.with(at, joined)
}

function tokensOf(entry: unknown): readonly unknown[] | undefined {
  if (typeof entry !== 'object' || entry === null || !('tokens' in entry)) return undefined
  return Array.isArray(entry.tokens) ? Array.from<unknown>(entry.tokens) : undefined
}

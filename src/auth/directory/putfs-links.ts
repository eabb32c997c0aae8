import type { Clock } from '../../core/clock.js'
import { Failure } from '../../core/failure.js'
import { isWithin, rebase, rootPath, toPath, type StorePath } from '../../core/path.js'
import { permitOf } from '../grant.js'
import type { Identity } from '../identity.js'
import type { LinkRequest, Links } from '../links.js'
import { scopeGrant } from '../scope/scope-map.js'
import { judgeLink, needsKey, usualLinkFormat } from '../signed-link.js'
import type { KeysConf } from './keys-conf.js'
import type { LiveFile } from './live-file.js'
import { accountsOf } from './putfs-keys.js'

export interface PutfsLinksOptions {
  readonly name: string
  /** Which keys there are, and what they may do. */
  readonly keys: LiveFile<KeysConf>
  /** How links are signed. */
  readonly links: LiveFile<KeysConf>
  readonly clock: Clock
}

const prefixes: readonly StorePath[] = [toPath('/_/dl'), toPath('/dl')]

/**
 * The signed links of PutFS, below `/dl/` and `/_/dl/`: GET and HEAD of one file. A key that is one of `keys` signs only for
 * what it may read itself.
 */
export function putfsLinks({ name: source, keys, links, clock }: PutfsLinksOptions): Links {
  const accounts = accountsOf(source)

  async function mayOpen(key: string, path: StorePath): Promise<boolean> {
    const account = accounts(await keys.facts(), key)
    return account === undefined || permitOf(account.identity).allows('read', path)
  }

  return {
    below: prefixes,
    async open(request, target) {
      const prefix = prefixes.find((one) => isWithin(target.path, one) && target.path !== one)
      if (prefix === undefined) return undefined
      const { linkSecrets, linkFormat } = await links.facts()
      const format = linkFormat ?? (linkSecrets.size > 0 ? usualLinkFormat : undefined)
      if (format === undefined) return undefined
      const query = new URLSearchParams(target.query)
      // Whoever shows who they are may mean a folder of this name.
      if (!query.has('token') && showsWho(request)) return undefined
      const [token, expires, key] = ['token', 'expires', 'key'].map((field) => only(query, field))
      const secret = needsKey(format) ? linkSecrets.get(key ?? '') : ''
      if (token === undefined || expires === undefined || secret === undefined || !isReading(request)) throw wrong()
      const link = {
        token,
        expires,
        method: request.method,
        path: target.path + (target.slash ? '/' : ''),
        address: request.peer.address ?? '',
        secret,
      }
      const verdict = judgeLink(format, link, Math.floor(clock.now() / 1000))
      if (verdict === 'wrong') throw wrong()
      if (verdict === 'expired') throw new Failure('gone', 'This link is over. Ask for a new one.')
      const path = rebase(target.path, prefix, rootPath)
      if (!(await mayOpen(key ?? '', path))) throw wrong()
      const identity = readerOf(source, key ?? '', path)
      return { target: { path, slash: target.slash, query: '' }, identity, until: (Number(expires) + 1) * 1000 }
    },
  }
}

/** May read this one file, whatever signs are in its name. */
function readerOf(source: string, key: string, path: StorePath): Identity {
  const exact = [{ text: `${key}:GET:${path}`, allows: true }]
  const grant = scopeGrant({ key, exact, expressions: [], otherwise: false })
  return { name: key === '' ? 'link' : key, source, grants: [grant] }
}

function only(query: URLSearchParams, field: string): string | undefined {
  const [value, ...others] = query.getAll(field)
  return others.length > 0 ? undefined : value
}

function isReading({ method }: LinkRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

function showsWho({ headers }: LinkRequest): boolean {
  return headers.has('authorization') || headers.has('x-api-key')
}

function wrong(): Failure {
  return new Failure('denied', 'This link is not valid.')
}

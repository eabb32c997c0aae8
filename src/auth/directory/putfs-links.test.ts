import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../core/clock.js'
import type { HttpRequest } from '../../core/http.js'
import { parseTarget, toPath } from '../../core/path.js'
import { permitOf } from '../grant.js'
import type { OpenedLink } from '../links.js'
import { parseKeysConf, type KeysConf } from './keys-conf.js'
import type { LiveFile } from './live-file.js'
import { putfsLinks } from './putfs-links.js'

const clock = new ManualClock()
const soon = String(Math.floor(clock.now() / 1000) + 30)

const conf = `
map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; "acme:one" 1; "idle:three" 1; }
map "$http_x_api_key:$request_method:$uri" $auth_ok { default 0; "~^acme:GET:/acme/" 1; }
map $arg_key $key_secret { default ""; "acme" "one"; "signer" "two"; "idle" "three"; }`

function file(text: string): LiveFile<KeysConf> {
  const { facts } = parseKeysConf(text)
  if (facts === undefined) throw new Error('not understood')
  return { facts: async () => facts }
}

interface Shown {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly conf?: string
}

async function open(target: string, { method = 'GET', headers = {}, conf: text = conf }: Shown = {}) {
  const request: HttpRequest = {
    method,
    target,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])),
    body: (async function* () {})(),
    listener: 'main',
    origin: { scheme: 'http', authority: 'localhost' },
    peer: { address: '192.0.2.7' },
    signal: new AbortController().signal,
  }
  const links = putfsLinks({ name: 'putfs-keys', keys: file(text), links: file(text), clock })
  return links.open(request, parseTarget(target))
}

function signed(path: string, key: string, secret: string, { method = 'GET', expires = soon } = {}): string {
  const token = createHash('md5').update(`${expires}${method}${path}192.0.2.7 ${secret}`).digest('base64url')
  return `${encodeURI(path)}?token=${token}&expires=${expires}&key=${key}`
}

describe('what opens nothing', () => {
  it.each<[string, string, Shown?]>([
    ['no token', '/_/dl/acme/x'],
    ['nothing but a token', '/_/dl/acme/x?token=AAAAAAAAAAAAAAAAAAAAAA'],
    ['an unknown key', signed('/_/dl/acme/x', 'nobody', '')],
    ['no key', signed('/_/dl/acme/x', '', '')],
    ['a key of every object', signed('/_/dl/acme/x', '__proto__', '')],
    ['another secret', signed('/_/dl/acme/x', 'acme', 'two')],
    ['another path', signed('/_/dl/acme/x', 'acme', 'one').replace('acme/x', 'acme/y')],
    ['the other prefix', signed('/_/dl/acme/x', 'acme', 'one').replace('/_/dl', '/dl')],
    ['two tokens', `${signed('/_/dl/acme/x', 'acme', 'one')}&token=x`],
    ['two keys', `${signed('/_/dl/acme/x', 'acme', 'one')}&key=signer`],
    ['a file beyond its key', signed('/_/dl/other/x', 'acme', 'one')],
    ['a key that may do nothing', signed('/_/dl/acme/x', 'idle', 'three')],
    ['a PUT', signed('/_/dl/acme/x', 'acme', 'one', { method: 'PUT' }), { method: 'PUT' }],
    ['a DELETE by a link for GET', signed('/_/dl/acme/x', 'acme', 'one'), { method: 'DELETE' }],
    ['a PROPFIND', signed('/_/dl/acme/x', 'acme', 'one', { method: 'PROPFIND' }), { method: 'PROPFIND' }],
    ['a wrong token beside a credential', '/_/dl/acme/x?token=x', { headers: { authorization: 'Basic x' } }],
  ])('%s', async (_what, target, shown) => {
    await expect(open(target, shown)).rejects.toMatchObject({ kind: 'denied' })
  })

  it('is gone when it is over, if it was right', async () => {
    const expires = String(Number(soon) - 60)
    await expect(open(signed('/_/dl/acme/x', 'acme', 'one', { expires }))).rejects.toMatchObject({ kind: 'gone' })
    await expect(open(signed('/_/dl/acme/x', 'acme', 'x', { expires }))).rejects.toMatchObject({ kind: 'denied' })
  })
})

describe('what is no link', () => {
  it.each<[string, string, Shown?]>([
    ['another path', '/acme/x?token=x'],
    ['a name that begins alike', '/dlx/acme?token=x'],
    ['the prefix itself', '/_/dl/'],
    ['a caller who shows a key', '/dl/acme/x', { headers: { 'x-api-key': 'acme' } }],
    ['a file without links', '/dl/acme/x?token=x', { conf: '' }],
  ])('%s', async (_what, target, shown) => {
    expect(await open(target, shown)).toBeUndefined()
  })
})

describe('a link', () => {
  const opened = async (target: string, shown?: Shown): Promise<OpenedLink> => {
    const link = await open(target, shown)
    if (link === undefined) throw new Error('no link')
    return link
  }

  it('opens one file, and no more than reading it', async () => {
    const { target, identity, until } = await opened(signed('/_/dl/acme/a*/x y', 'acme', 'one'))
    expect(until).toBe((Number(soon) + 1) * 1000)
    expect(target).toEqual({ path: '/acme/a*/x y', slash: false, query: '' })
    expect(identity).toMatchObject({ name: 'acme', source: 'putfs-keys' })
    const permit = permitOf(identity)
    expect(permit.allows('read', toPath('/acme/a*/x y'))).toBe(true)
    for (const path of ['/acme/ab/x y', '/acme/a*', '/acme/a*/x y/z', '/'])
      expect(permit.allows('read', toPath(path))).toBe(false)
    for (const action of ['list', 'create', 'replace', 'delete'] as const)
      expect(permit.allows(action, toPath('/acme/a*/x y'))).toBe(false)
  })

  it('opens for HEAD when it is signed for it', async () => {
    expect(await opened(signed('/dl/acme/x', 'acme', 'one', { method: 'HEAD' }), { method: 'HEAD' })).toBeDefined()
  })

  it('of one who only signs opens what it names', async () => {
    expect((await opened(signed('/dl/other/x', 'signer', 'two'))).target.path).toBe('/other/x')
  })

  it('of the older kind has the secret in the configuration', async () => {
    const older = 'location /dl/ { secure_link_md5 "$secure_link_expires$request_method$uri$remote_addr s3"; }'
    const link = signed('/dl/any/x', '', 's3').replace('&key=', '')
    expect((await opened(link, { conf: older })).identity).toMatchObject({ name: 'link' })
  })
})

import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { generation, ticketsFor, workerKey } from '../../../test/judged-behind-the-door.js'
import { doorTo } from '../../../test/privsep-door.js'
import { arrived } from '../../../test/s3-verification.js'
import type { LoginEvent } from '../../auth/audit.js'
import { parseKeysConf, type KeysConf } from '../../auth/directory/keys-conf.js'
import type { LiveFile } from '../../auth/directory/live-file.js'
import { putfsLinks } from '../../auth/directory/putfs-links.js'
import type { Links, OpenedLink } from '../../auth/links.js'
import { ManualClock } from '../../core/clock.js'
import { parseTarget } from '../../core/path.js'
import { remoteLinks } from '../front/remote-links.js'
import { KeptTickets } from '../front/ticket-book.js'
import { sentRequest } from '../sent-request.js'
import { readTicket } from '../ticket.js'
import { linksPart } from './links.js'

const conf = `
map "$http_x_api_key:$http_x_api_secret" $key_ok { default 0; "acme:one" 1; }
map "$http_x_api_key:$request_method:$uri" $auth_ok { default 0; "~^acme:GET:/acme/" 1; }
map $arg_key $key_secret { default ""; "acme" "one"; }`

function file(): LiveFile<KeysConf> {
  const { facts } = parseKeysConf(conf)
  if (facts === undefined) throw new Error('not understood')
  return { facts: async () => facts }
}

/** Links of a source whose callers act as a user of the system. */
function actingAs(links: Links, unixUser: string): Links {
  return {
    below: links.below,
    async open(request, target) {
      const opened = await links.open(request, target)
      return opened && { ...opened, identity: { ...opened.identity, unixUser } }
    },
  }
}

function setUp({ basePath = '', unixUser = 'al' } = {}) {
  const clock = new ManualClock()
  const events: LoginEvent[] = []
  const own = actingAs(putfsLinks({ name: 'putfs-keys', keys: file(), links: file(), clock }), unixUser)
  const door = doorTo(
    linksPart({ links: [own], basePath, noteLogin: (event) => events.push(event) }, ticketsFor(clock)),
  )
  const asked: string[] = []
  const book = new KeptTickets(clock)
  const links = remoteLinks({
    door: {
      ask: (name, head, options) => {
        asked.push(name)
        return door.ask(name, head, options)
      },
    },
    book,
    below: own.below,
  })
  const open = (target: string): Promise<OpenedLink | undefined> => links.open(arrived({ target }), parseTarget(target))
  const signed = (path: string, { seconds = 60, secret = 'one' } = {}): string => {
    const expires = String(Math.floor(clock.now() / 1000) + seconds)
    const token = createHash('md5').update(`${expires}GET${path}192.0.2.1 ${secret}`).digest('base64url')
    return `${path}?token=${token}&expires=${expires}&key=acme`
  }
  return { clock, events, door, asked, book, open, signed }
}

describe('what a link of another process does not open', () => {
  it('is anything without its signature, and no ticket comes of it', async () => {
    const { open, signed, book } = setUp()
    for (const target of [
      '/dl/acme/x',
      signed('/dl/acme/x', { secret: 'two' }),
      signed('/dl/acme/x').replace('/dl/acme/x', '/dl/acme/y'),
      signed('/dl/other/x'),
    ])
      await expect(open(target)).rejects.toMatchObject({ kind: 'denied' })
    await expect(open(signed('/dl/acme/x', { seconds: -1 }))).rejects.toMatchObject({ kind: 'gone' })
    expect(book.ticketOf('al')).toBeUndefined()
  })

  it('is what a front says that it is for: only the request counts', async () => {
    const { door, signed } = setUp()
    const target = parseTarget(signed('/dl/acme/x'))
    const request = sentRequest(arrived({ target: '/dl/acme/y' }))
    await expect(door.ask('link', { request, ...target, target })).rejects.toMatchObject({ kind: 'denied' }) // prettier-ignore
    for (const bad of ['/dl/../acme', '/dl/%2e%2e/acme', 'dl', ''])
      await expect(door.ask('link', { request: { ...request, target: bad } })).rejects.toMatchObject({
        kind: 'invalid',
      })
    for (const head of [{}, { request: 1 }, { request: { ...request, headers: 1 } }])
      await expect(door.ask('link', head)).rejects.toMatchObject({ kind: 'invalid' })
  })

  it('is the files of a user whom nobody may act as, which is written down', async () => {
    const { open, signed, events, book } = setUp({ unixUser: 'root' })
    await expect(open(signed('/dl/acme/x'))).rejects.toMatchObject({ kind: 'denied' })
    expect(events).toEqual([
      { event: 'login-failed', name: 'acme', source: 'putfs-keys', why: 'there is no such account', address: '192.0.2.1' },
    ]) // prettier-ignore
    expect(book.ticketOf('root')).toBeUndefined()
  })
})

describe('a link of another process', () => {
  it('is not asked about where none can be', async () => {
    const { open, asked } = setUp()
    for (const target of ['/acme/x', '/dlx', '/-/users']) expect(await open(target)).toBeUndefined()
    expect(asked).toEqual([])
    expect(await open('/dl')).toBeUndefined()
    expect(asked).toEqual(['link'])
  })

  it('opens what it names, with a ticket that does not outlive it', async () => {
    const { open, signed, book, clock } = setUp()
    const opened = await open(signed('/dl/acme/x', { seconds: 300 }))
    expect(opened).toMatchObject({
      target: { path: '/acme/x', slash: false, query: '' },
      identity: { name: 'acme', source: 'putfs-keys', unixUser: 'al' },
      until: clock.now() + 301_000,
    })
    const kept = book.ticketOf('al')
    const ticket = readTicket(workerKey, kept?.ticket, { uid: 1001, generation, now: clock.now() })
    expect([ticket?.expires, kept?.expires]).toEqual([clock.now() + 301_000, clock.now() + 301_000])
  })

  it('lies below the base path that a proxy leaves in its target', async () => {
    const { door, signed } = setUp({ basePath: '/files' })
    const link = signed('/dl/acme/x')
    const { head } = await door.ask('link', { request: sentRequest(arrived({ target: `/files${link}` })) })
    expect(head).toMatchObject({ target: { path: '/acme/x' } })
  })
})

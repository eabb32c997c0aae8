import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { UnixUser } from '../unix-users.js'
import { openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

const property = '<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x:colour xmlns:x="urn:x">COLOUR</x:colour></D:prop></D:set></D:propertyupdate>' // prettier-ignore
const lockInfo = '<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>' // prettier-ignore

describeForeign('what is kept of a file beside its bytes', privsepNeeds, () => {
  let site: PrivsepSite
  let alice: UnixUser
  let bob: UnixUser

  beforeAll(async () => {
    site = await openPrivsepSite()
    ;({ alice, bob } = site)
  })

  afterAll(() => site.dispose())

  const shown = async (user: UnixUser, path: string): Promise<string> =>
    (await site.ask(user, 'PROPFIND', path, { headers: { Depth: '0' } })).text

  /** A file of alice with a property, in the folder where both may write. */
  async function fileOfAlice(path: string, mode: number): Promise<void> {
    expect((await site.ask(alice, 'PUT', path, { body: 'of alice' })).status).toBe(201)
    chmodSync(join(site.root, path), mode)
    expect((await site.ask(alice, 'PROPPATCH', path, { body: property })).status).toBe(207)
  }

  it('stays where another puts new content, who could read it', async () => {
    await fileOfAlice('/team/read.txt', 0o664)
    expect((await site.ask(bob, 'PUT', '/team/read.txt', { body: 'of bob' })).status).toBe(204)
    expect(await shown(bob, '/team/read.txt')).toContain('COLOUR')
  })

  it('goes where another puts new content, who could not', async () => {
    await fileOfAlice('/team/hidden.txt', 0o600)
    expect(await shown(bob, '/team/hidden.txt')).not.toContain('COLOUR')
    expect((await site.ask(bob, 'PUT', '/team/hidden.txt', { body: 'of bob' })).status).toBe(204)
    expect(await shown(bob, '/team/hidden.txt')).not.toContain('COLOUR')
  })

  it('goes along with a folder that another moves, and does not stay for whoever makes one of that name', async () => {
    expect((await site.ask(alice, 'MKCOL', '/team/folder')).status).toBe(201)
    await fileOfAlice('/team/folder/f', 0o600)
    chmodSync(join(site.root, 'team/folder'), 0o700)
    const headers = { Destination: `${site.server.url}/team/moved` }
    expect((await site.ask(bob, 'MOVE', '/team/folder', { headers })).status).toBe(201)
    expect((await site.ask(bob, 'MKCOL', '/team/folder')).status).toBe(201)
    expect((await site.ask(bob, 'PUT', '/team/folder/f', { body: 'of bob' })).status).toBe(201)
    expect(await shown(bob, '/team/folder/f')).not.toContain('COLOUR')
    expect(await shown(alice, '/team/moved/f')).toContain('COLOUR')
  })

  it('shows no lock on what is hidden, from above or below', async () => {
    expect((await site.ask(alice, 'MKCOL', '/team/own')).status).toBe(201)
    chmodSync(join(site.root, 'team/own'), 0o700)
    expect((await site.ask(alice, 'PUT', '/team/own/f', { body: 'of alice' })).status).toBe(201)
    expect((await site.ask(alice, 'LOCK', '/team/own/f', { body: lockInfo })).status).toBe(200)
    for (const [path, depth] of [
      ['/team/own/f', '0'],
      ['/team/own', '1'],
      ['/team', 'infinity'],
    ] as const)
      expect((await site.ask(bob, 'PROPFIND', path, { headers: { Depth: depth } })).text).not.toContain(
        'opaquelocktoken',
      )
  })
})

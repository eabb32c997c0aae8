import { chmodSync, rmSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { BrokerRig, aboutOf, ticketOf } from '../broker-rig.js'
import { openFolder } from '../privsep-server.js'
import { mountSilentFuse } from '../silent-fuse.js'
import type { SilentFuse } from '../silent-fuse.js'
import { UnixUsers } from '../unix-users.js'
import type { UnixUser } from '../unix-users.js'
import { privsepNeeds } from './privsep-site.js'
import { describeForeign } from './tools.js'

const needs = [...privsepNeeds, 'right: fuse', 'program: fusermount3', 'file: /usr/bin/python3'] as const

describeForeign('a user whose process cannot be killed', needs, () => {
  const users = new UnixUsers()
  let folder: string
  let alice: UnixUser
  let bob: UnixUser
  let rig: BrokerRig | undefined
  let silent: SilentFuse | undefined

  beforeAll(() => {
    folder = openFolder()
    alice = users.addWithHome(folder, 'alice', 'wonderland')
    bob = users.addWithHome(folder, 'bob', 'builder')
  })

  afterEach(async () => {
    silent?.end()
    await rig?.stop()
  })

  afterAll(() => {
    users.cleanUp()
    rmSync(folder, { recursive: true, force: true })
  })

  it('waits alone: the broker goes on for all others, and ends', async () => {
    chmodSync(alice.home, 0o755)
    silent = await mountSilentFuse(alice.home, alice)
    rig = await BrokerRig.open()
    const [front, auth] = [await rig.front(), await rig.auth()]
    const ticketFor = async ({ name }: UnixUser): Promise<string> =>
      ticketOf((await auth.ask('account', { user: name })).head)
    const { link, worker } = await rig.worker(front, await ticketFor(alice))
    await link.ask('look', { path: `${silent.folder}/name` })
    await silent.asked
    await front.ask('hung', { worker })
    link.close()

    // More than the broker works on at a time for one front.
    const ticket = await ticketFor(alice)
    const again = Array.from({ length: 40 }, () =>
      front.ask('worker', { ticket }).catch((error: unknown) => error as { readonly kind?: string }),
    )
    const begun = performance.now()
    const served = await rig.worker(front, await ticketFor(bob))
    expect((await aboutOf(served.link)).settings['user']).toBe(bob.name)
    for (const answer of await Promise.all(again)) expect(answer).toMatchObject({ kind: 'unavailable' })
    expect(performance.now() - begun).toBeLessThan(20_000)
    await rig.broker.stop()
    rig = undefined
  }, 60_000)
})

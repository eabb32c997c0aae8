import { existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from '../harness.js'
import { programWithHostileWorker } from '../privsep-server.js'
import { makeFile, openPrivsepSite, privsepNeeds } from './privsep-site.js'
import type { PrivsepSite } from './privsep-site.js'
import { describeForeign } from './tools.js'

/** Asks for more and more of what the process on the network does for everybody; which, stands in the file `mode` in the home. */
const hostile = `
import { readFileSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
const settings = JSON.parse(readFileSync(0, 'utf8'))
const mode = readFileSync(settings.home + '/mode', 'utf8')
const link = new Socket({ fd: 3 })
for (const end of ['error', 'end']) link.on(end, () => process.exit(0))
const frame = (head) => {
  const text = Buffer.from(JSON.stringify(head))
  const prefix = Buffer.alloc(8)
  prefix.writeUInt32BE(text.length)
  prefix.writeUInt32BE(text.length, 4)
  return link.write(Buffer.concat([prefix, text]))
}
const known = (n) => [1, 33188, 5, 1, 1000, 1000, 0, n.toString(36), '1.0', '1.0', '1.0']
const heads = {
  'note-keys': () => ({}),
  'note-digests': (n) => ({ known: known(n % 100000), digests: { md5: Buffer.alloc(16, n % 256).toString('base64') } }),
  'note-forget': () => ({ known: Array.from({ length: 400 }, (_, n) => known(n)) }),
  note: (n) => ({ of: known(0), known: known(n % 100000), settled: true, attributes: { 'content-type': 'x'.repeat(30000) } }),
}
let [asked, answered, waits] = [0, 0, false]
function flood() {
  while (!waits && asked - answered < 4000) waits = !frame({ ask: asked, name: mode, head: { mount: 0, ...heads[mode](asked++) } })
}
let pending = Buffer.alloc(0)
link.on('data', (piece) => {
  pending = Buffer.concat([pending, piece])
  while (pending.length >= 8 && pending.length >= 8 + pending.readUInt32BE(0)) {
    const head = JSON.parse(pending.subarray(8, 8 + pending.readUInt32BE(4)).toString())
    pending = pending.subarray(8 + pending.readUInt32BE(0))
    if (head.answer !== undefined) { if (answered++ === 100) writeFileSync(settings.home + '/done-' + mode, '') }
    else if (head.failure !== undefined) process.exit(9)
    else if (head.name === 'ticket' || head.name === 'ping') frame({ answer: head.ask, head: {} })
  }
  flood()
})
link.on('drain', () => { waits = false; flood() })
`

const measuredMilliseconds = 3000

describeForeign('a process of a user that floods the front with notes', privsepNeeds, () => {
  let site: PrivsepSite
  let program = ''

  beforeAll(async () => {
    site = await openPrivsepSite({ program: ({ bob }) => (program = programWithHostileWorker(bob.uid, hostile)) })
  })

  afterAll(async () => {
    await site.dispose()
    await rm(program, { recursive: true, force: true })
  })

  /** How often alice is served, one request after the other. */
  async function served(): Promise<number> {
    let count = 0
    for (const end = performance.now() + measuredMilliseconds; performance.now() < end; count += 1)
      expect((await site.ask(site.alice, 'GET', `/home/${site.alice.name}/own.txt`)).status).toBe(200)
    return count
  }

  it.each(['note-keys', 'note-digests', 'note', 'note-forget'])('by %s leaves others their turn', async (mode) => {
    const { alice, bob, server, ask } = site
    makeFile(join(bob.home, 'mode'), bob, 0o600, mode)
    expect((await ask(alice, 'GET', `/home/${alice.name}/own.txt`)).status).toBe(200)
    await server.cli(['sessions', 'close', bob.name])
    const alone = await served()
    const asked = ask(bob, 'GET', '/all/').catch(() => undefined)
    await eventually('it is at it', () => existsSync(join(bob.home, `done-${mode}`)), 20_000)
    const beside = await served()
    console.info(`${mode}: ${beside} requests of another in the time of ${alone} alone`)
    expect(beside).toBeGreaterThan(alone / 6)
    await server.cli(['sessions', 'close', bob.name])
    await asked
  })
})

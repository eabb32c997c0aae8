import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { canStartAsOthers } from '../other-users.js'
import { installedProgram, openFolder } from '../privsep-server.js'
import { UnixWorkers } from '../unix-worker.js'

const uid = 61020

describe.skipIf(!canStartAsOthers())('the process of a user ends at once (for root only)', () => {
  let workers: UnixWorkers

  beforeAll(async () => {
    workers = await UnixWorkers.open()
  })

  afterAll(() => workers.close())

  /** Without its two sockets: it is over before it looks at them. */
  function begin(...flags: readonly string[]): { readonly status: number | null; readonly stderr: string } {
    const settings = { user: 'somebody', uid, key: 'AAAA', generation: 'ab', umask: 0o022, mounts: [], sweeps: false }
    const { status, stderr } = spawnSync(
      'setpriv',
      [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...flags, '--', process.execPath, join(workers.folder, 'bin/unix-worker.cjs')], // prettier-ignore
      { input: JSON.stringify(settings), stdio: ['pipe', 'pipe', 'pipe', 'pipe', 'pipe'], cwd: '/', encoding: 'utf8', timeout: 20_000 }, // prettier-ignore
    )
    return { status, stderr }
  }

  const emptied = ['--bounding-set=-all', '--inh-caps=-all', '--ambient-caps=-all', '--no-new-privs']

  it.each([
    ['could gain capabilities', emptied.slice(1), 'CapBnd is '],
    ['could gain a single one', ['--bounding-set=-all,+net_raw', ...emptied.slice(1)], 'CapBnd is 0000000000002000'],
    ['could run programs that gain something', emptied.slice(0, 3), 'NoNewPrivs is 0'],
    ['has one', ['--inh-caps=+net_raw', '--ambient-caps=+net_raw', '--no-new-privs'], 'CapEff is 0000000000002000'],
  ])('where it %s, and says so', (_what, flags, said) => {
    const { status, stderr } = begin(...flags)
    expect([status, stderr]).toEqual([70, expect.stringContaining(said)])
  })
})

describe.skipIf(!canStartAsOthers())('a start by a root with too few capabilities (for root only)', () => {
  let folder: string
  beforeEach(() => (folder = openFolder()))
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it.each([
    // Without it setpriv would leave users' processes what they could gain, and not say so.
    ['setpcap', 'CAP_SETPCAP'],
    ['kill', 'CAP_KILL'],
    ['setuid,-setgid', 'CAP_SETGID, CAP_SETUID'],
  ])('without %s is refused with its name, before anything is made', (left, named) => {
    mkdirSync(join(folder, 'data'))
    const program = [join(installedProgram(), 'bin/postern.js'), 'serve', '--privsep', join(folder, 'data'), '--state', join(folder, 'state')] // prettier-ignore
    const { status, stderr } = spawnSync('setpriv', [`--bounding-set=-${left}`, '--', process.execPath, ...program], {
      cwd: '/',
      encoding: 'utf8',
      timeout: 20_000,
    })
    expect(status).not.toBe(0)
    expect(stderr).toContain(`needs to act as Unix users: ${named}.`)
    expect(existsSync(join(folder, 'state'))).toBe(false)
  })
})

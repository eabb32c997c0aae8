import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { run } from '../harness.js'
import { installedProgram, openFolder, startPrivsepServer } from '../privsep-server.js'
import { privsepNeeds } from './privsep-site.js'
import { describeForeign } from './tools.js'

describeForeign('a start by root', privsepNeeds, () => {
  let folder: string
  beforeEach(() => (folder = openFolder()))
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  it('takes no orders from a file that others can change, not even one that lies where root happens to be', async () => {
    const theirs = join(folder, 'theirs')
    for (const name of ['theirs', 'data']) mkdirSync(join(folder, name))
    const file = join(theirs, 'postern.yaml')
    writeFileSync(file, 'privsep: { minimumUid: 1 }\n')
    const serve = (): ReturnType<typeof run> =>
      run(
        process.execPath,
        [
          join(installedProgram(), 'bin/postern.js'),
          'serve',
          join(folder, 'data'),
          '--privsep',
          '--state',
          join(folder, 'state'),
        ],
        { cwd: theirs },
      )
    for (const spoil of [
      () => chownSync(theirs, 12345, 12345),
      () => {
        chownSync(theirs, 0, 0)
        chmodSync(file, 0o666)
      },
    ]) {
      spoil()
      const { code, stderr } = await serve()
      expect([code, stderr]).toEqual([2, expect.stringContaining(theirs)])
    }
  })

  it('gives the state to its process, and every folder on the way is one that this can go through', async () => {
    const records = join(folder, 'deep/er/records')
    await using server = await startPrivsepServer({ config: { privsep: { records } } })
    const front = server.processes().find(({ part }) => part === 'front')
    expect(statSync(records)).toMatchObject({ uid: front?.uid, mode: 0o40700 })
    expect(statSync(join(folder, 'deep/er'))).toMatchObject({ uid: 0, mode: 0o40755 })
  })

  const hasOwnUser = /^postern:/m.test(readFileSync('/etc/passwd', 'utf8'))

  it.skipIf(hasOwnUser)('warns of a front that is nobody, unless that is what root wants', async () => {
    const warning = 'make one named postern'
    for (const [privsep, isWarned] of [
      [{}, true],
      [{ user: 'nobody' }, false],
    ] as const) {
      await using server = await startPrivsepServer({ config: { privsep } })
      expect((server.stdout() + server.stderr()).includes(warning)).toBe(isWarned)
    }
  })
})

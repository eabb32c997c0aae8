import { createHash } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { defaultRuntime } from '../../src/privsep/broker/runtime-directory.js'
import type { Finished } from '../harness.js'
import { eventually, run } from '../harness.js'
import { canStartAsOthers } from '../other-users.js'
import { installedProgram, openFolder, startPrivsepServer } from '../privsep-server.js'

/** SHA-256 of the certificate that is shown at a port, as the banner writes it. */
function fingerprintAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      const { raw } = socket.getPeerCertificate()
      socket.destroy()
      resolve(createHash('sha256').update(raw).digest('hex').toUpperCase().match(/../g)?.join(':') ?? '')
    })
    socket.on('error', reject)
  })
}

describe.skipIf(!canStartAsOthers())('a start of a server for Unix users (for root only)', () => {
  let folder: string
  beforeEach(() => {
    folder = openFolder()
    mkdirSync(join(folder, 'data'))
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  /** Of a server that is meant not to start. */
  const serve = (...args: readonly string[]): Promise<Finished> =>
    run(process.execPath, [join(installedProgram(), 'bin/postern.js'), 'serve', '--privsep', '--listen', '127.0.0.1:0', ...args], { cwd: '/', timeoutMs: 20_000 }) // prettier-ignore

  const withConfig = (text: string): Promise<Finished> => {
    writeFileSync(join(folder, 'postern.yaml'), text)
    return serve('--config', join(folder, 'postern.yaml'))
  }

  it.each([
    ['a number that is none', 'privsep:\n  minimumUid: many\n', /postern\.yaml:2: privsep\.minimumUid:/],
    ['a key that there is not', 'privsep:\n  minimumUid: 1000\n  chroot: true\n', /postern\.yaml:3: privsep\.chroot: is not a setting/],
    ['a range of nobody', 'privsep:\n  minimumUid: 2000\n  maximumUid: 1999\n', /privsep: minimumUid must not be above/],
    ['one user for two', 'privsep:\n  user: daemon\n  authUser: daemon\n', /privsep: user and authUser must be two users/],
    ['a user that there is not', 'privsep:\n  user: pt-nobody-of-that-name\n', /There is no user pt-nobody-of-that-name/],
    ['records in what is served', 'privsep:\n  records: data/records\n', /privsep: records \(.*\) must not lie inside the served directory/],
    ['separation of a bucket', 'mounts:\n  - { path: /b, s3: "s3://b", privsep: true }\nprivsep: {}\n', /postern\.yaml:2: mounts\[0\]\.privsep: .*a bucket knows no Unix users/],
    ['a directory that is not there', 'mounts: [{ path: /x, local: missing }]\nprivsep: {}\n', /The directory .*missing is not there/],
  ])('is refused with key and reason: %s', async (_what, text, said) => {
    const { code, stderr } = await withConfig(`${text}state: state\n${text.startsWith('mounts') ? '' : 'root: data\n'}`)
    expect(stderr).toMatch(said)
    expect(code).toBe(2)
  }) // prettier-ignore

  it('is refused where the state or the records belong to somebody else, with the command that helps', async () => {
    for (const [name, key] of [
      ['state', 'state directory|state'],
      ['state-records', 'directory of records'],
    ] as const) {
      const path = join(folder, name)
      mkdirSync(path, { mode: 0o700 })
      chownSync(path, 12345, 12345)
      const { code, stderr } = await serve(join(folder, 'data'), '--state', join(folder, 'state'))
      expect([code === 0, stderr]).toEqual([false, expect.stringMatching(new RegExp(`The (?:${key}) ${path} belongs to the user with the id 12345, .*: chown -R \\d+:\\d+ ${path}`))]) // prettier-ignore
      rmSync(path, { recursive: true })
      expect(existsSync(defaultRuntime(join(folder, 'state'))), 'the runtime directory').toBe(false)
    }
  })

  it('is refused while another server has the runtime directory, the state or the records, also at the same moment', async () => {
    const both = await Promise.allSettled([0, 1].map(() => {
      const config = { state: join(folder, 'state'), privsep: { runtime: join(folder, 'run'), records: join(folder, 'records') } } // prettier-ignore
      return startPrivsepServer({ root: join(folder, 'data'), args: ['--state', join(folder, 'state')], config })
    })) // prettier-ignore
    const started = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    try {
      expect(started).toHaveLength(1)
      const refused = both.find((one) => one.status === 'rejected')
      expect(String(refused?.reason)).toContain('A server runs already with the runtime directory')
      for (const [what, text] of [
        ['runtime directory', 'privsep: { runtime: run, records: records2 }\nstate: state2\n'],
        ['state directory', 'privsep: { runtime: run2, records: records2 }\nstate: state\n'],
        ['directory of records', 'privsep: { runtime: run2, records: records }\nstate: state2\n'],
      ] as const)
        expect(await withConfig(`root: data\n${text}`)).toMatchObject({ stderr: expect.stringContaining(`A server runs already with the ${what} ${folder}`) as string }) // prettier-ignore
      expect((await started[0]?.request('GET', '/-/ready', { as: null }))?.status).toBe(200)
      // What a killed one leaves is in nobody's way.
      await started[0]?.kill9()
      await started[0]?.restart()
      expect((await started[0]?.request('GET', '/-/ready', { as: null }))?.status).toBe(200)
    } finally {
      for (const one of started) await one[Symbol.asyncDispose]()
    }
  })

  it('shows the fingerprint of the certificate that it makes, which stays the same when the configuration changes', async () => {
    await using server = await startPrivsepServer({ config: { tls: 'self-signed' } })
    const { configFile, pid, port } = server
    await eventually('all is said', () => server.stdout().includes('To mount it:'))
    const shown = /^Certificate made here: (\S+)\n {2}SHA-256 (\S+)$/m.exec(server.stdout())
    expect(shown?.[2]).toBe(await fingerprintAt(port))
    expect(readFileSync(shown?.[1] ?? '', 'utf8')).toContain('BEGIN CERTIFICATE')
    const config = JSON.parse(readFileSync(configFile, 'utf8')) as object
    writeFileSync(`${configFile}.new`, JSON.stringify({ ...config, basicRealm: 'another' }))
    renameSync(`${configFile}.new`, configFile)
    process.kill(pid, 'SIGHUP')
    await eventually('it is applied', () =>
      /configuration applied: basicRealm"/.test(server.stdout() + server.stderr()),
    )
    expect(await fingerprintAt(port)).toBe(shown?.[2])
    // Root has written nothing into the folder of the process of identities.
    expect(existsSync(join(server.state, 'tls-key.pem'))).toBe(false)
  })
})

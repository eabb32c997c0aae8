import { spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { basic, eventually, run, startServer } from '../harness.js'
import type { Finished, Server } from '../harness.js'

const program = fileURLToPath(new URL('../../bin/postern.js', import.meta.url))
const mebibyte = 2 ** 20
let home: string
let server: Server
const doors: HttpServer[] = []

beforeAll(async () => {
  server = await startServer()
})
afterAll(async () => server[Symbol.asyncDispose]())
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'postern-put-'))
})
afterEach(() => {
  rmSync(home, { recursive: true, force: true })
  for (const door of doors.splice(0)) {
    door.closeAllConnections()
    door.close()
  }
})

function environment(): NodeJS.ProcessEnv {
  return { ...process.env, HOME: home, XDG_STATE_HOME: join(home, 'state'), POSTERN_PASSWORD: server.adminPassword }
}

function put(args: readonly string[], stdin?: string): Promise<Finished> {
  const more = stdin === undefined ? {} : { stdin }
  return run(process.execPath, [program, 'put', ...args, '--user', 'admin'], { cwd: home, env: environment(), ...more })
}

function file(name: string, bytes: Uint8Array | string): string {
  const path = join(home, name)
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, bytes)
  return path
}

function hash(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** Something that is no Postern. */
async function door(
  answer: (request: IncomingMessage) => readonly [number, Readonly<Record<string, string>>],
): Promise<string> {
  const listening = createServer((request, response) => {
    const [status, headers] = answer(request)
    request.resume()
    response.writeHead(status, headers).end()
  })
  doors.push(listening)
  listening.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

describe('postern put', () => {
  it.each([
    [['f'], 2, /Name the files first/],
    [['f', 'ftp://host/'], 2, /must be a URL/],
    [['f', 'http://h/?x=1'], 2, /one of a file or folder/],
    [['f', 'g', 'http://127.0.0.1:9/x'], 2, /end the URL with a slash/],
    [['none', 'http://127.0.0.1:9/'], 1, /There is no file none/],
    [['f', 'http://127.0.0.1:9/', '--parallel', '0'], 2, /--parallel/],
    [['f', 'http://127.0.0.1:9/', '--part-size', 'much'], 2, /--part-size/],
    [['-', 'http://127.0.0.1:9/'], 2, /Standard input is one file/],
    [['f', 'http://127.0.0.1:9/', '--retries', '0'], 1, /cannot be reached: ECONNREFUSED/],
  ])('says what is wrong with %j', async (args, code, message) => {
    file('f', 'x')
    const done = await put(args)
    expect([done.code, done.stderr]).toEqual([code, expect.stringMatching(message)])
  })

  it('takes no password as an argument, and shows it to nobody who sends it elsewhere', async () => {
    file('f', 'x')
    const done = await run(process.execPath, [program, 'put', 'f', 'http://127.0.0.1:9/', '--user', 'a:secret'], { cwd: home, env: environment() }) // prettier-ignore
    expect([done.code, done.stderr]).toEqual([2, expect.stringMatching(/only the name/)])
    const seen: (string | undefined)[] = []
    const other = await door(({ headers }) => {
      seen.push(headers.authorization)
      return [200, {}]
    })
    const first = await door(() => [307, { location: `${other}/f` }])
    const led = await put(['f', `${first}/f`])
    expect([led.code, led.stderr, seen]).toEqual([1, expect.stringMatching(/answered 307: It sends elsewhere/), []])
  })

  it('gives no login to where the parts of a file go', async () => {
    file('large', randomBytes(9 * mebibyte))
    const seen: (string | undefined)[] = []
    const bucket = await door(({ headers }) => {
      seen.push(headers.authorization)
      return [200, {}]
    })
    const replies = new Map([
      ['/-/uploads', { id: 'x', partSize: 5 * mebibyte, direct: true }],
      ['/-/uploads/x/parts', { parts: [{ number: 1, url: `${bucket}/part`, headers: { 'x-amz-checksum-sha256': 'x' }, direct: true }] }], // prettier-ignore
      ['/-/uploads/x/complete', { verified: 'parts' }],
    ])
    const logins: (string | undefined)[] = []
    const listening = createServer((request, response) => {
      logins.push(request.headers.authorization)
      request.resume()
      response.end(JSON.stringify(replies.get(request.url ?? '')))
    })
    doors.push(listening)
    listening.listen(0, '127.0.0.1')
    await once(listening, 'listening')
    const done = await put(['large', `http://127.0.0.1:${(listening.address() as AddressInfo).port}/large`])
    expect([done.code, seen]).toEqual([0, [undefined, undefined]])
    expect(new Set(logins)).toEqual(new Set([basic(['admin', server.adminPassword])]))
  })

  it('puts files and whole directories, small and large', async () => {
    const large = randomBytes(20 * mebibyte + 1)
    file('tree/large.bin', large)
    file('tree/d/% \u{1F600} #?.txt', 'odd')
    file('tree/empty', '')
    const done = await put(['tree', 'tree/empty', `${server.url}/in/`, '--json', '--verify-whole'])
    expect([done.code, JSON.parse(done.stdout)]).toMatchObject([0, { files: 4, bytes: large.length + 3, failures: [] }])
    expect(hash(readFileSync(join(server.root, 'in/tree/large.bin')))).toBe(hash(large))
    expect(readFileSync(join(server.root, 'in/tree/d/% \u{1F600} #?.txt'), 'utf8')).toBe('odd')
    expect(readFileSync(join(server.root, 'in/empty'), 'utf8')).toBe('')
    expect(readdirSync(join(home, 'state/postern/put'))).toEqual([])
    const again = await put(['tree/large.bin', `${server.url}/in/tree/large.bin`, '--no-clobber'])
    expect([again.code, again.stderr]).toEqual([1, expect.stringMatching(/answered 412/)])
    const other = await put(['tree/large.bin', `${server.url}/in/tree/large.bin`, '--if-match', '"other"'])
    expect([other.code, other.stderr]).toEqual([1, expect.stringMatching(/answered 412/)])
  })

  it('puts standard input, whether there is much of it or little', async () => {
    const text = 'abcdefgh'.repeat(mebibyte * 1.5)
    const many = await put(['-', `${server.url}/many`, '--part-size', '5M', '--json'], text)
    expect([many.code, JSON.parse(many.stdout)]).toMatchObject([0, { files: 1, bytes: text.length }])
    expect(hash(readFileSync(join(server.root, 'many')))).toBe(hash(Buffer.from(text)))
    expect((await put(['-', `${server.url}/few`], 'few')).code).toBe(0)
    expect(readFileSync(join(server.root, 'few'), 'utf8')).toBe('few')
  })

  it('goes on where it was killed, and sends no part again', async () => {
    const large = randomBytes(200 * mebibyte)
    const path = file('large', large)
    const args = [program, 'put', path, `${server.url}/killed`, '--user', 'admin', '--parallel', '1']
    const child = spawn(process.execPath, args, { env: environment(), stdio: 'ignore' })
    const gone = once(child, 'exit')
    const state = join(home, 'state/postern/put')
    let id = ''
    let arrived = 0
    await eventually('three parts have come', async () => {
      const [name] = existsSync(state) ? readdirSync(state) : []
      if (name === undefined) return false
      const text = readFileSync(join(state, name), 'utf8')
      if (text === '') return false
      ;({ id } = JSON.parse(text) as { id: string })
      const { body } = await server.request('GET', `/-/uploads/${id}`)
      arrived = (JSON.parse(body.toString()) as { arrived: unknown[] }).arrived.length
      return arrived >= 3
    })
    child.kill('SIGKILL')
    await gone
    expect(existsSync(join(server.root, 'killed'))).toBe(false)
    const before = (JSON.parse((await server.request('GET', `/-/uploads/${id}`)).body.toString()) as { arrived: object[] }).arrived // prettier-ignore
    expect(before.length).toBeLessThan(25)
    const lines = server.stdout().length + server.stderr().length
    const done = await put([path, `${server.url}/killed`])
    expect(done.code, done.stderr).toBe(0)
    expect(hash(readFileSync(join(server.root, 'killed')))).toBe(hash(large))
    const log = (server.stdout() + server.stderr()).slice(lines)
    const sent = [...log.matchAll(/PUT[^\n]*\/parts\/(\d+)/g)].map(([, number]) => Number(number))
    // The line of the part that was on its way when it was killed comes late.
    expect(new Set(sent).size).toBeLessThanOrEqual(25 - before.length + 1)
  }, 60_000)

  it('says how to go on when it is stopped', async () => {
    const path = file('large', randomBytes(64 * mebibyte))
    const args = [program, 'put', path, `${server.url}/stopped`, '--user', 'admin', '--parallel', '1']
    const child = spawn(process.execPath, args, { env: environment(), stdio: ['ignore', 'pipe', 'ignore'] })
    let said = ''
    child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()))
    const gone = once(child, 'exit')
    await eventually('it has begun', () => existsSync(join(home, 'state/postern/put')))
    child.kill('SIGINT')
    const [code] = (await gone) as [number | null]
    expect([code, said]).toEqual([130, expect.stringMatching(/Stopped\. The same command again goes on from here/)])
    expect((await put([path, `${server.url}/stopped`])).code).toBe(0)
  }, 60_000)
})

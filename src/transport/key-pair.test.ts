import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { generate } from 'selfsigned'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { cleanUp, ok, serve, temporaryFolder } from '../../test/serving.js'
import type { KeyPair } from './key-pair.js'
import { readPair } from './key-pair.js'

const begin = Date.UTC(2030, 0, 1)
const end = Date.UTC(2031, 0, 1)
let one: KeyPair
let other: KeyPair

async function make(name: string): Promise<KeyPair> {
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate: new Date(begin),
    notAfterDate: new Date(end),
  })
  return { cert: made.cert, key: made.private }
}

beforeAll(async () => {
  one = await make('one')
  other = await make('other')
})
afterEach(cleanUp)

function written(pair: KeyPair): { cert: string; key: string } {
  const folder = temporaryFolder()
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  writeFileSync(files.cert, pair.cert)
  writeFileSync(files.key, pair.key)
  return files
}

describe('a pair of files', () => {
  it('is read where all is well', () => {
    expect(readPair(written(one), begin + 1)).toEqual(one)
    const chain = { ...one, cert: `${one.cert}\n${other.cert}` }
    expect(readPair(written(chain), begin + 1)).toEqual(chain)
  })

  it.each([
    ['has expired', () => one, end, /cert\.pem has expired on/],
    ['is not valid yet', () => one, begin - 1, /cert\.pem is not valid before/],
    ['does not match', () => ({ cert: one.cert, key: other.key }), begin + 1, /key\.pem is not the key of .*cert\.pem/],
    ['holds no certificate', () => ({ ...one, cert: 'nonsense' }), begin + 1, /cert\.pem is no certificate/],
    ['is empty', () => ({ cert: '', key: '' }), begin + 1, /cert\.pem is no certificate/],
    ['holds no key', () => ({ ...one, key: one.cert }), begin + 1, /key\.pem is no private key/],
    ['was cut off', () => ({ ...one, key: one.key.slice(0, 100) }), begin + 1, /key\.pem is no private key/],
    ['is the wrong way round', () => ({ cert: one.key, key: one.cert }), begin + 1, /cert\.pem is no certificate/],
  ] as const)('that %s is refused, with its name', (_name, pair, now, message) => {
    expect(() => readPair(written(pair()), now)).toThrow(message)
  })

  it('that cannot be read is refused, with its name', () => {
    const gone = written(one)
    rmSync(gone.key)
    expect(() => readPair(gone, begin + 1)).toThrow(/tls\.key: .*key\.pem cannot be read: it is not there/)
    const folder = written(one)
    expect(() => readPair({ ...folder, cert: temporaryFolder() }, begin + 1)).toThrow(/tls\.cert: .*cannot be read/)
    const locked = written(one)
    chmodSync(locked.key, 0)
    // Root may read everything.
    if (process.getuid?.() !== 0) expect(() => readPair(locked, begin + 1)).toThrow(/no permission/)
  })
})

describe('a certificate', () => {
  async function nameShown(port: number): Promise<unknown> {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return subject.CN
  }

  it('can be changed while connections go on; one that is none leaves the old one', async () => {
    const { transport, port } = await serve(async () => ok, { tls: one })
    const before = connect({ host: '127.0.0.1', port, rejectUnauthorized: false })
    await new Promise((resolve) => before.once('secureConnect', resolve))
    transport.secure('main', other)
    expect(await nameShown(port)).toBe('other')
    expect(() => transport.secure('main', { cert: one.cert, key: other.key })).toThrow()
    expect(() => transport.secure('main', { cert: 'nonsense', key: '' })).toThrow()
    expect(await nameShown(port)).toBe('other')
    const answered = new Promise<string>((resolve) => before.once('data', (bytes: Buffer) => resolve(bytes.toString())))
    before.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await answered).toMatch(/^HTTP\/1\.1 200/)
    before.destroy()
  })
})

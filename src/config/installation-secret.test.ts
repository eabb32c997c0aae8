import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { installationSecret } from './installation-secret.js'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-secret-'))
})

afterEach(() => {
  vi.unstubAllEnvs()
  rmSync(directory, { recursive: true })
})

const bytes = Buffer.alloc(32, 0xa7)

describe('the secret of an installation', () => {
  it.each([
    ['too short', 'c2hvcnQ='],
    ['a password', 'correct horse battery staple, and some more'],
    ['digits too few', 'a7'.repeat(31)],
    ['empty', ''],
  ])('is refused where a file holds something else: %s', async (_, content) => {
    const file = join(directory, 'secret')
    writeFileSync(file, content)
    await expect(installationSecret({ secret: { file }, state: directory })).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.stringContaining('openssl rand -base64 32') as string,
    })
  })

  it('is not told in a message', async () => {
    vi.stubEnv('FILES_SECRET', 'almost a secret')
    const failing = installationSecret({ secret: { env: 'FILES_SECRET' }, state: directory })
    await expect(failing).rejects.toMatchObject({
      kind: 'invalid',
      message: expect.not.stringContaining('almost') as string,
    })
  })

  it('is asked for where the variable or the file is missing', async () => {
    await expect(installationSecret({ secret: { env: 'NO_SUCH_SECRET' }, state: directory })).rejects.toMatchObject({
      kind: 'invalid',
    })
    const file = join(directory, 'none')
    await expect(installationSecret({ secret: { file }, state: directory })).rejects.toMatchObject({
      kind: 'unavailable',
    })
  })

  it.each([
    ['as base64 with a line feed', `${bytes.toString('base64')}\n`],
    ['as digits', bytes.toString('hex')],
    ['as capital digits', bytes.toString('hex').toUpperCase()],
    ['as it is', bytes],
  ])('is read from a file: %s', async (_, content) => {
    const file = join(directory, 'secret')
    writeFileSync(file, content)
    expect(Buffer.from(await installationSecret({ secret: { file }, state: directory }))).toEqual(bytes)
  })

  it('is read from a variable, and made in the state directory where nothing is said', async () => {
    vi.stubEnv('FILES_SECRET', bytes.toString('base64'))
    expect(Buffer.from(await installationSecret({ secret: { env: 'FILES_SECRET' }, state: directory }))).toEqual(bytes)
    const made = await installationSecret({ secret: undefined, state: directory })
    expect(await installationSecret({ secret: undefined, state: directory })).toEqual(made)
  })

  it('is decrypted by KMS, and what KMS refuses is said', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIDEXAMPLE')
    vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'a key for one test')
    const kms = createServer((request, response) => {
      void text(request).then((body) => {
        const { CiphertextBlob } = JSON.parse(body) as { CiphertextBlob: string }
        const isRight = CiphertextBlob === 'right' && request.headers['x-amz-target'] === 'TrentService.Decrypt'
        response.writeHead(isRight ? 200 : 400)
        response.end(
          isRight
            ? JSON.stringify({ Plaintext: bytes.toString('base64') })
            : '{"__type":"com.amazonaws.kms#InvalidCiphertextException"}',
        )
      })
    })
    await new Promise<void>((resolve) => kms.listen(0, '127.0.0.1', resolve))
    const endpoint = `http://127.0.0.1:${(kms.address() as AddressInfo).port}`
    try {
      const setting = (ciphertext: string) => ({
        secret: { kms: { ciphertext, region: 'eu-west-1', endpoint } },
        state: directory,
      })
      expect(Buffer.from(await installationSecret(setting('right')))).toEqual(bytes)
      await expect(installationSecret(setting('wrong'))).rejects.toMatchObject({
        kind: 'invalid',
        message: expect.stringContaining('InvalidCiphertextException') as string,
      })
    } finally {
      kms.close()
    }
  })
})

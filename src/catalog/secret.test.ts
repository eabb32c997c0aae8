import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { openSecret } from './secret.js'

const base = mkdtempSync(join(tmpdir(), 'postern-secret-'))
afterAll(() => rmSync(base, { recursive: true }))

let made = 0
function freshDirectory(): string {
  const directory = join(base, String(made++))
  mkdirSync(directory)
  return directory
}

it('refuses a file that cannot be the secret, and leaves it alone', async () => {
  for (const content of ['', 'short', 'x'.repeat(33)]) {
    const directory = freshDirectory()
    writeFileSync(join(directory, 'secret'), content)
    await expect(openSecret(directory)).rejects.toMatchObject({ kind: 'unsupported' })
    expect(statSync(join(directory, 'secret')).size).toBe(content.length)
    expect(readdirSync(directory)).toEqual(['secret'])
  }
})

it('is unavailable where it cannot be kept', async () => {
  await expect(openSecret(join(base, 'absent'))).rejects.toMatchObject({ kind: 'unavailable' })
  const dangling = freshDirectory()
  symlinkSync('nowhere', join(dangling, 'secret'))
  await expect(openSecret(dangling)).rejects.toMatchObject({ kind: 'unavailable' })
  expect(readdirSync(dangling)).toEqual(['secret'])
})

it('is made once, for the owner only, also when many start at once', async () => {
  const directory = freshDirectory()
  chmodSync(directory, 0o755)
  const secrets = await Promise.all(Array.from({ length: 10 }, () => openSecret(directory)))
  expect(new Set(secrets.map((secret) => Buffer.from(secret).toString('hex'))).size).toBe(1)
  expect(secrets[0]).toHaveLength(32)
  expect(readdirSync(directory)).toEqual(['secret'])
  expect(statSync(join(directory, 'secret')).mode & 0o777).toBe(0o600)
  expect(await openSecret(directory)).toEqual(secrets[0])
  expect(await openSecret(freshDirectory())).not.toEqual(secrets[0])
})

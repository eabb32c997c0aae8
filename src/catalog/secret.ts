import { randomBytes } from 'node:crypto'
import { link, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { Failure } from '../core/failure.js'

const secretBytes = 32

/**
 * The one secret of this installation, 32 random bytes: the file `secret` (0600) in the state directory, made when there
 * is none. Processes that start at once get the same one. Throws `unsupported` where the file is something else,
 * `unavailable` where it cannot be read or made.
 */
export async function openSecret(stateDirectory: string): Promise<Uint8Array> {
  const file = join(stateDirectory, 'secret')
  try {
    return (await readSecret(file)) ?? (await makeSecret(stateDirectory, file))
  } catch (error) {
    if (error instanceof Failure) throw error
    throw new Failure('unavailable', 'The secret of this installation cannot be read or made.', { cause: error })
  }
}

async function readSecret(file: string): Promise<Uint8Array | undefined> {
  let found: Buffer
  try {
    found = await readFile(file)
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
  if (found.byteLength !== secretBytes)
    throw new Failure('unsupported', `The file ${JSON.stringify(file)} does not hold the secret of an installation.`)
  return new Uint8Array(found)
}

/** Whole and synced under another name first: a reader sees all of it or nothing, and the first of several makers wins. */
async function makeSecret(stateDirectory: string, file: string): Promise<Uint8Array> {
  const staged = join(stateDirectory, `.secret-${randomBytes(9).toString('base64url')}`)
  const handle = await open(staged, 'wx', 0o600)
  try {
    await handle.writeFile(randomBytes(secretBytes))
    await handle.sync()
    await link(staged, file)
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error
  } finally {
    await handle.close()
    await unlink(staged)
  }
  await syncDirectory(stateDirectory)
  const made = await readSecret(file)
  if (made === undefined)
    throw new Failure('unavailable', 'The secret of this installation was taken away while it was made.')
  return made
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url))

/** A file below `deploy/`: fills a kept configuration with what is true in this test; every placeholder must be in it. */
export async function configuration(file: string, values: Readonly<Record<string, string>>): Promise<string> {
  let text = await readFile(join(deploy, file), 'utf8')
  for (const [placeholder, value] of Object.entries(values)) {
    expect(text, file).toContain(placeholder)
    text = text.replaceAll(placeholder, value)
  }
  return text
}

/** A port of this machine that nobody listens on now. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

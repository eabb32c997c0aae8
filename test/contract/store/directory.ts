import { execFileSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { Store } from '../../../src/store/store.js'
import type { Medium, Subject } from './subject.js'

/** A store over a new directory, and what others could do there. */
export async function inDirectory(
  open: (root: string) => Promise<Store>,
  reserved: readonly string[],
): Promise<Subject> {
  const root = mkdtempSync(join(tmpdir(), 'postern-store-'))
  return {
    store: await open(root),
    medium: mediumOf(root, reserved),
    dispose: () => rm(root, { recursive: true }),
  }
}

function mediumOf(root: string, reserved: readonly string[]): Medium {
  const odd = new Set<string>()
  return {
    reserved,
    isOdd: (path) => odd.has(path),
    everything: () => everythingBelow(root, ''),
    sparse: async (path, bytes) => {
      await writeFile(root + path, '')
      await truncate(root + path, bytes)
    },
    put: async (path, text) => {
      await mkdir(dirname(root + path), { recursive: true })
      await writeFile(root + path, text)
    },
    read: (path) => readFile(root + path, 'utf8'),
    symlink: async (path, target) => {
      odd.add(path)
      await symlink(target, root + path)
    },
    fifo: async (path) => {
      odd.add(path)
      execFileSync('mkfifo', [root + path])
    },
    drop: (path) => rm(root + path, { recursive: true }),
  }
}

/** Node's own recursive readdir follows symbolic links. */
async function everythingBelow(root: string, directory: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const member of await readdir(root + directory, { withFileTypes: true })) {
    const path = `${directory}/${member.name}`
    found.push(path.normalize('NFC'))
    if (member.isDirectory()) found.push(...(await everythingBelow(root, path)))
  }
  return found
}

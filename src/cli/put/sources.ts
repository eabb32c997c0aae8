import type { Stats } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Failure } from '../../core/failure.js'

/** A file to be put, and the path it is to have on the server. */
export interface SourceFile {
  readonly file: string
  readonly path: string
  /** Bytes. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly modified: number
}

/**
 * All files at and below what was named, in any order. Where the target ends with a slash each keeps its name below it,
 * else the target is the name. Links are followed for what is named, never below. Throws `not-found`, `invalid`.
 */
export async function* sourceFiles(names: readonly string[], target: string): AsyncGenerator<SourceFile, void> {
  if (names.length > 1 && !target.endsWith('/'))
    throw new Failure('invalid', 'Several files go into a folder: end the URL with a slash.')
  for (const name of names) {
    const found = await factsOf(name)
    const own = basename(resolve(name))
    const path = target.endsWith('/') ? target + own : target
    if (found.isDirectory()) yield* below(name, path)
    else if (found.isFile()) yield { file: name, path, size: found.size, modified: Math.floor(found.mtimeMs) }
    else throw new Failure('invalid', `${name} is neither a file nor a directory.`)
  }
}

async function* below(directory: string, path: string): AsyncGenerator<SourceFile, void> {
  for await (const member of await opendir(directory)) {
    const file = join(directory, member.name)
    const to = `${path}/${member.name}`
    if (member.isDirectory()) yield* below(file, to)
    else if (member.isFile()) {
      const { size, mtimeMs } = await factsOf(file)
      yield { file, path: to, size, modified: Math.floor(mtimeMs) }
    }
  }
}

async function factsOf(name: string): Promise<Stats> {
  try {
    return await stat(name)
  } catch (cause) {
    throw new Failure('not-found', `There is no file ${name}, or it cannot be read.`, { cause })
  }
}

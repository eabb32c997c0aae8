import { createHash } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { SourceFile } from './sources.js'

/** Remembers which uploads were begun and not completed: one small file for each, which names no secret. */
export class BegunUploads {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** The id of the upload of this file, as it is now, to that address; undefined where there is none. */
  async find(source: SourceFile, origin: string): Promise<string | undefined> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#fileOf(source, origin), 'utf8'))
      return typeof value === 'object' && value !== null && 'id' in value && typeof value.id === 'string'
        ? value.id
        : undefined
    } catch {
      return undefined
    }
  }

  /** Where nothing can be written, the upload cannot be gone on with later, and that is all. */
  async keep(source: SourceFile, origin: string, id: string): Promise<void> {
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 })
      const text = JSON.stringify({ id, file: resolve(source.file), to: `${origin}${source.path}` })
      await writeFile(this.#fileOf(source, origin), `${text}\n`, { mode: 0o600 })
    } catch {
      return
    }
  }

  async forget(source: SourceFile, origin: string): Promise<void> {
    await rm(this.#fileOf(source, origin), { force: true }).catch(() => undefined)
  }

  #fileOf({ file, path, size, modified }: SourceFile, origin: string): string {
    const facts = JSON.stringify([resolve(file), origin, path, size, modified])
    return join(this.#directory, `${createHash('sha256').update(facts).digest('hex').slice(0, 32)}.json`)
  }
}

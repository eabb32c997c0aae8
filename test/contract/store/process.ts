import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import ts from 'typescript'

const repository = join(import.meta.dirname, '..', '..', '..')

/** A script that runs; `next` gives the lines that it prints. */
export interface Running {
  readonly child: ChildProcess
  readonly next: () => Promise<string | undefined>
}

/** Stores in processes of their own. */
export interface Processes {
  /** Runs a script with `store`, `p` and `body(...chunks)` at hand. */
  run(
    script: string,
    options: { readonly root: string; readonly native: boolean; readonly durability?: string },
  ): Running
  /** Ends those that still run, and takes away what was made for them. */
  readonly dispose: () => Promise<void>
}

/** Translates the store into what a program without vitest can load. */
export function storeProcesses(): Processes {
  const built = mkdtempSync(join(tmpdir(), 'postern-built-'))
  const children: ChildProcess[] = []
  writeFileSync(join(built, 'package.json'), '{"type":"module"}')
  for (const folder of ['core', 'store', 'store/local']) {
    mkdirSync(join(built, 'src', folder), { recursive: true })
    const source = join(repository, 'src', folder)
    for (const file of readdirSync(source).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))) {
      const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2023 }
      const { outputText } = ts.transpileModule(readFileSync(join(source, file), 'utf8'), { compilerOptions })
      writeFileSync(join(built, 'src', folder, file.replace(/\.ts$/, '.js')), outputText)
    }
  }
  symlinkSync(join(repository, 'native'), join(built, 'native'))
  const from = (file: string): string => JSON.stringify(pathToFileURL(join(built, 'src', file)).href)
  return {
    run(script, { root, native, durability = 'fast' }) {
      const child = spawn(
        process.execPath,
        [
          '--input-type=module',
          '--eval',
          `import { openLocalStore } from ${from('store/local.js')}
           import { toPath as p } from ${from('core/path.js')}
           const options = ${JSON.stringify({ root, durability, symlinks: 'absent', native, sweeps: false })}
           const store = await openLocalStore(options)
           async function* body(...chunks) { yield* chunks }
           ${script}
           await store.close()`,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'], cwd: '/' },
      )
      children.push(child)
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      return {
        child,
        async next() {
          const line = await lines.next()
          return line.done === true ? undefined : line.value
        },
      }
    },
    async dispose() {
      for (const child of children) {
        if (child.exitCode !== null || child.signalCode !== null) continue
        child.kill('SIGKILL')
        await once(child, 'exit')
      }
      rmSync(built, { recursive: true })
    },
  }
}

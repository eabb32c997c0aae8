// Builds native/*.c with the system's C compiler. Without one nothing fails: Postern then takes the slower ways.
// Options: --quiet says nothing unless something is wrong, --force builds even what is up to date.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const parts = readdirSync(join(root, 'native'))
  .filter((name) => /\.[ch]$/.test(name))
  .map((name) => join(root, 'native', name))
const target = join(root, 'native', `postern-${process.platform}-${process.arch}.node`)
const quiet = process.argv.includes('--quiet')
const force = process.argv.includes('--force')

function build() {
  if (process.platform === 'win32') return 'The native part is not built on Windows.'
  if (!force && existsSync(target) && parts.every((part) => statSync(part).mtimeMs < statSync(target).mtimeMs))
    return undefined
  let include
  try {
    include = createRequire(import.meta.url)('node-api-headers').include_dir
  } catch {
    return 'The native part was not built: node-api-headers is not installed. Slower ways are taken.'
  }
  const unfinished = `${target}.${process.pid}`
  const platform = process.platform === 'darwin' ? ['-undefined', 'dynamic_lookup'] : []
  const flags = ['-shared', '-fPIC', '-O2', '-std=gnu11', '-Wall', '-Wextra', '-fvisibility=hidden', ...platform]
  const compiler = process.env.CC ?? 'cc'
  const sources = parts.filter((part) => part.endsWith('.c'))
  const result = spawnSync(compiler, [...flags, '-I', include, '-o', unfinished, ...sources], { encoding: 'utf8' })
  if (result.error !== undefined)
    return `The native part was not built: there is no C compiler (${compiler}). Slower ways are taken.`
  if (result.status !== 0) {
    rmSync(unfinished, { force: true })
    return `The native part was not built; slower ways are taken. ${compiler} said:\n${result.stderr}`
  }
  // A running program may have the old one mapped, so it is replaced, never overwritten.
  renameSync(unfinished, target)
  if (!quiet) process.stdout.write(`built ${target.slice(root.length + 1)}\n`)
  return undefined
}

const complaint = build()
if (complaint !== undefined) process.stderr.write(complaint.trimEnd() + '\n')

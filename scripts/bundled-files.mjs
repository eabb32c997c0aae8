// What the scripts that bundle have in common.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Types are looked up by extension; of the others in this table, which are more than half, nobody asks. */
export const typesWithExtension = {
  name: 'types-with-extension',
  transform: {
    filter: { id: /mime-db[\\/]db\.json$/ },
    handler(code) {
      const types = Object.entries(JSON.parse(code)).filter(([, { extensions }]) => extensions !== undefined)
      return { code: JSON.stringify(Object.fromEntries(types)), map: null }
    },
  },
}

/** The files that a bundle is made of, by name, with the licences of what went in. */
export function filesOf(output) {
  const files = new Map(output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
  files.set(
    'LICENSES.txt',
    licenses(output.flatMap((file) => (file.type === 'chunk' ? Object.keys(file.modules) : []))),
  )
  return files
}

/** All modules that one imports, and they; what is imported only when it is needed is not among them. */
export function reached(entry, graph) {
  const found = new Set([entry])
  for (const id of found) for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) found.add(imported)
  return found
}

/** Makes a folder hold these files and no others. A server may be starting from them at this moment: each is replaced whole, and only where it has changed. */
export function writeChanged(target, files) {
  mkdirSync(target, { recursive: true })
  for (const [name, content] of files) writeOne(join(target, name), content)
  for (const name of readdirSync(target)) if (!files.has(name)) rmSync(join(target, name), { recursive: true })
}

/** Writes one file, in the same way. */
export function writeOne(path, content) {
  if (existsSync(path) && readFileSync(path).equals(Buffer.from(content))) return
  writeFileSync(`${path}.${process.pid}`, content)
  renameSync(`${path}.${process.pid}`, path)
}

/** The licences of all packages that these files come from, as most of them demand. */
function licenses(modules) {
  const folders = new Set(modules.flatMap((id) => /^.*[\\/]node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+/.exec(id) ?? []))
  const texts = [...folders].sort().map((folder) => {
    const { name, version, license, author, repository } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    )
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    // One of them comes without its text.
    const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `by ${author}, ${repository}`
    return `${name} ${version} (${license})\n\n${text}\n`
  })
  return ['What Postern is built with, beside its own code:\n', ...texts].join(`\n${'-'.repeat(72)}\n\n`)
}

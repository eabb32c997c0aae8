// Bundles the program into dist/program, with the libraries of pure JavaScript that it needs at every start: one file loads
// in a fraction of the time of two hundred. Types come from tsc, into dist/types. Run by `npm run build`.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// Two folders deep, as the sources in src are: paths relative to `import.meta.url` hold in both.
const target = join(root, 'dist', 'program')

/** What goes in, with all it needs itself. Any other package stays outside: it is native, or loaded only where it is configured. */
const bundled = new Set(['cli-progress', 'commander', 'mime-types', 'pino', 'saxes', 'zod'])

/** Types are looked up by extension; of the others in this table, which are more than half, nobody asks. */
const typesWithExtension = {
  name: 'types-with-extension',
  transform: {
    filter: { id: /mime-db[\\/]db\.json$/ },
    handler(code) {
      const types = Object.entries(JSON.parse(code)).filter(([, { extensions }]) => extensions !== undefined)
      return { code: JSON.stringify(Object.fromEntries(types)), map: null }
    },
  },
}

/** What is loaded at every start, without what the small programs share with it: those load no more than they need. */
let startModules
function isForStart(id, graph) {
  if (startModules === undefined) {
    const small = ['src/auth/pam/serve-pam.ts', 'src/auth/password-formats/check-thread.ts']
    startModules = reached('src/cli/main.ts', graph)
    for (const entry of small) for (const module of reached(entry, graph)) startModules.delete(module)
  }
  return startModules.has(id)
}

/** All modules that one imports, and they; what is imported only when it is needed is not among them. */
function reached(entry, graph) {
  const found = new Set([join(root, entry)])
  for (const id of found) for (const imported of graph.getModuleInfo(id)?.importedIds ?? []) found.add(imported)
  return found
}

/** Names and lines are for whoever reads a stack trace; comments and wide characters only take time to read. */
const readable = { sourcemap: true, minify: false, comments: false, charset: 'ascii' }

// What the bundler is not sure of would fail only when it runs.
const onLog = (level, log) => {
  throw new Error(`${level}: ${log.message}`)
}

const bundle = await rolldown({
  cwd: root,
  input: {
    main: 'src/cli/main.ts',
    index: 'src/index.ts',
    'pam-helper': 'src/auth/pam/serve-pam.ts',
    'check-thread': 'src/auth/password-formats/check-thread.ts',
  },
  platform: 'node',
  preserveEntrySignatures: 'allow-extension',
  tsconfig: 'tsconfig.build.json',
  external: (id, importer) =>
    /^[^./]/.test(id) && !importer?.includes(`${sep}node_modules${sep}`) && importer !== undefined && !bundled.has(id),
  plugins: [typesWithExtension],
  onLog,
})
const { output } = await bundle.generate({
  format: 'esm',
  // Without this, what several parts of the program share would be dozens of files, each of which costs time at every start.
  codeSplitting: {
    includeDependenciesRecursively: false,
    groups: [{ debugName: 'start', name: (id, graph) => (isForStart(id, graph) ? 'start' : null) }],
  },
  ...readable,
  entryFileNames: '[name].js',
  chunkFileNames: '[name].js',
  minifyInternalExports: false,
})
await bundle.close()

// Started for each user who comes: as CommonJS in one file it loads in two thirds of the time.
const worker = await rolldown({
  cwd: root,
  input: { 'unix-worker': 'src/privsep/worker/main.ts' },
  platform: 'node',
  tsconfig: 'tsconfig.build.json',
  external: /^node:/,
  onLog,
})
output.push(...(await worker.generate({ format: 'cjs', ...readable, entryFileNames: '[name].cjs' })).output)
await worker.close()

mkdirSync(target, { recursive: true })
const files = new Map(output.map((file) => [file.fileName, file.type === 'chunk' ? file.code : file.source]))
files.set('LICENSES.txt', licenses(output.flatMap((file) => (file.type === 'chunk' ? Object.keys(file.modules) : []))))
// A server may be starting from these files at this moment: each is replaced whole, and only where it has changed.
for (const [name, content] of files) {
  const path = join(target, name)
  if (existsSync(path) && readFileSync(path, 'utf8') === content) continue
  writeFileSync(`${path}.${process.pid}`, content)
  renameSync(`${path}.${process.pid}`, path)
}
for (const name of readdirSync(target)) if (!files.has(name)) rmSync(join(target, name))

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

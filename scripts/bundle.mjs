// Bundles the program into dist/program, with the libraries of pure JavaScript that it needs at every start: one file loads
// in a fraction of the time of two hundred. Types come from tsc, into dist/types. Run by `npm run build`.
import { dirname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { rolldown } from 'rolldown'
import { filesOf, reached, typesWithExtension, writeChanged } from './bundled-files.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
// Two folders deep, as the sources in src are: paths relative to `import.meta.url` hold in both.
const target = join(root, 'dist', 'program')

/** What goes in, with all it needs itself. Any other package stays outside: it is native, or loaded only where it is configured. */
const bundled = new Set(['cli-progress', 'commander', 'mime-types', 'pino', 'saxes', 'zod'])

/** What is loaded at every start, without what the small programs share with it: those load no more than they need. */
let startModules
function isForStart(id, graph) {
  if (startModules === undefined) {
    const small = ['src/auth/pam/serve-pam.ts', 'src/auth/password-formats/check-thread.ts']
    startModules = reached(join(root, 'src/cli/main.ts'), graph)
    for (const entry of small) for (const module of reached(join(root, entry), graph)) startModules.delete(module)
  }
  return startModules.has(id)
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

writeChanged(target, filesOf(output))

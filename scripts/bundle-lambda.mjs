// Bundles the functions for AWS Lambda: dist/lambda/postern and dist/lambda/drop, and a zip of each. All that they need is in
// there, in JavaScript alone, so that one zip does on every processor; what is seldom needed is loaded when it is. The zips are
// the same for the same sources. Run by `npm run build`.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zipSync } from 'fflate'
import { rolldown } from 'rolldown'
import { filesOf, reached, typesWithExtension, writeChanged, writeOne } from './bundled-files.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const target = join(root, 'dist', 'lambda')
const functions = { postern: 'src/lambda.ts', drop: 'src/lambda-drop.ts' }

/** Never used in a function: native code, another log, certificates, and what libraries try and do without. */
const absent = new Set([
  '@node-rs/argon2',
  '@photostructure/sqlite',
  'bufferutil',
  'pg-cloudflare',
  'pg-native',
  'pino-pretty',
  'selfsigned',
  'utf-8-validate',
])

/** The configuration is read without waiting, by `require`: here that is a module like the others. */
const bundledYaml = {
  name: 'bundled-yaml',
  transform: {
    filter: { id: /src[\\/]config[\\/]load\.ts$/ },
    handler(code) {
      const changed = code.replace("createRequire(import.meta.url)('yaml')", "require('yaml')")
      if (changed === code) throw new Error('src/config/load.ts reads YAML in another way than this script knows')
      return { code: changed, map: null }
    },
  },
}

for (const [name, entry] of Object.entries(functions)) {
  const files = await bundled(join(root, entry))
  files.set('package.json', `${JSON.stringify({ type: 'module' })}\n`)
  writeChanged(join(target, name), files)
  writeOne(join(target, `${name}.zip`), zipped(files))
}

/** `index.js` and what it loads later. */
async function bundled(entry) {
  let atStart
  /** The entry waits while it opens the function: what is loaded then must not import from it. */
  const isForStart = (id, graph) => id !== entry && (atStart ??= reached(entry, graph)).has(id)
  const bundle = await rolldown({
    cwd: root,
    input: { index: entry },
    platform: 'node',
    preserveEntrySignatures: 'allow-extension',
    tsconfig: 'tsconfig.build.json',
    external: (id) => absent.has(id),
    plugins: [typesWithExtension, bundledYaml],
    // What the bundler is not sure of would fail only when it runs; what libraries do in their own code is their business.
    onLog: (level, log) => {
      if (!/node_modules/.test(log.id ?? log.loc?.file ?? log.message)) throw new Error(`${level}: ${log.message}`)
    },
  })
  const { output } = await bundle.generate({
    format: 'esm',
    codeSplitting: {
      includeDependenciesRecursively: false,
      groups: [{ debugName: 'start', name: (id, graph) => (isForStart(id, graph) ? 'start' : null) }],
    },
    entryFileNames: '[name].js',
    chunkFileNames: '[name].js',
    // Names and lines are for whoever reads a stack trace, and cost nothing that could be measured.
    minify: false,
    comments: false,
    charset: 'ascii',
  })
  await bundle.close()
  return filesOf(output)
}

/** Without times and owners. */
function zipped(files) {
  const entries = [...files].sort(([one], [other]) => (one < other ? -1 : 1))
  const readable = { os: 3, attrs: 0o100644 << 16, mtime: new Date(1980, 0, 1), level: 9 }
  return zipSync(Object.fromEntries(entries.map(([name, content]) => [name, [Buffer.from(content), readable]])))
}

// Writes docs/config.md out of the schema.
import { rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

const built = new URL('../dist/config-docs.mjs', import.meta.url)
await build({
  input: fileURLToPath(new URL('../src/config/config-docs.ts', import.meta.url)),
  platform: 'node',
  external: /^[^./]/,
  logLevel: 'warn',
  output: { file: fileURLToPath(built), codeSplitting: false },
})
const { configDocs } = await import(built.href)
rmSync(built)
writeFileSync(new URL('../docs/config.md', import.meta.url), configDocs())

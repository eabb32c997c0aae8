// Runs the fast-check properties of every file for long: node scripts/fuzz.mjs [SECONDS FOR EACH FILE, default 60] [FOLDER …, default src test]
import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const [first, ...rest] = process.argv.slice(2)
const given = /^\d+$/.test(first ?? '')
const seconds = given ? Number(first) : 60
const folders = given ? rest : process.argv.slice(2)
const files = (folders.length > 0 ? folders : ['src', 'test'])
  .flatMap((folder) => readdirSync(`${root}${folder}`, { recursive: true }).map((file) => `${folder}/${String(file)}`))
  .filter((file) => file.endsWith('.test.ts') && readFileSync(`${root}${file}`, 'utf8').includes("from 'fast-check'"))
const { status } = spawnSync(
  process.execPath,
  [
    `${root}node_modules/vitest/vitest.mjs`,
    'run',
    '--project',
    'unit',
    '--testTimeout',
    String(seconds * 10_000 + 60_000),
    // Each file has its time whoever else runs; on two cores, two files at once wait for each other half of theirs.
    '--maxWorkers',
    '4',
    ...files,
  ],
  { cwd: root, stdio: 'inherit', env: { ...process.env, FUZZ_SECONDS: String(seconds) } },
)
process.exitCode = status ?? 1

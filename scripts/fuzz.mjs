// Runs every fast-check property for long: node scripts/fuzz.mjs [SECONDS EACH, default 60] [vitest arguments …]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const [first, ...rest] = process.argv.slice(2)
const given = /^\d+$/.test(first ?? '')
const seconds = given ? Number(first) : 60
const more = given ? rest : process.argv.slice(2)
const vitest = fileURLToPath(new URL('../node_modules/vitest/vitest.mjs', import.meta.url))
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--project', 'unit', '--testTimeout', String(seconds * 1000 + 60_000), '-t', 'fuzz', ...more],
  { stdio: 'inherit', env: { ...process.env, FUZZ_SECONDS: String(seconds) } },
)
process.exitCode = status ?? 1

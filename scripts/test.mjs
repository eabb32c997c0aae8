// What `npm test` runs: builds, then the suites in order; names every test that was skipped or failed; the last line is the count.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const home = dirname(dirname(fileURLToPath(import.meta.url)))
const all = ['unit', 'wire', 'foreign']
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`usage: npm test -- [${all.join(' ')}]`)
  process.exit(2)
}

const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: home, stdio: 'inherit' })
if (build.status !== 0) {
  console.error('the build failed, so nothing was tested')
  process.exit(1)
}

const total = { passed: 0, failed: 0, skipped: 0 }
const skipped = []
const failed = []
const unsteady = []
let skippedReal = 0
let broken = false
for (const project of wanted.length > 0 ? wanted : all) {
  console.log(`\n== ${project}`)
  const { ended, results } = steadied(project, runProject(project))
  const count = { passed: 0, failed: 0, skipped: 0 }
  for (const file of results.testResults) {
    // A file that cannot even be loaded, or whose set-up fails, reports no failed test of its own.
    const failedTests = file.assertionResults.filter((test) => test.status === 'failed').length
    if (file.status === 'failed' && failedTests === 0) {
      count.failed += 1
      failed.push(`${relative(home, file.name)}: ${file.message}`)
    }
    for (const test of file.assertionResults) {
      if (test.status === 'passed') count.passed += 1
      else if (test.status === 'failed') {
        count.failed += 1
        failed.push(`${relative(home, file.name)}: ${test.fullName}\n    ${test.failureMessages.join('\n    ')}`)
      } else {
        count.skipped += 1
        skipped.push(`${relative(home, file.name)}: ${test.fullName}`)
        // A contract suite may skip what a store does not have; what drives the real program may skip nothing.
        if (project !== 'unit' && !test.ancestorTitles.some((title) => title.startsWith('store contract: ')))
          skippedReal += 1
      }
    }
  }
  if (ended !== 0 && count.failed === 0) {
    failed.push(`the ${project} suite ended with ${ended} without a failed test (an error outside of any test?)`)
    broken = true
  }
  if (count.passed + count.failed + count.skipped === 0) {
    failed.push(`the ${project} suite holds no test`)
    broken = true
  }
  for (const key of Object.keys(total)) total[key] += count[key]
}

if (skipped.length > 0) {
  console.log('\nskipped:')
  for (const line of skipped) console.log(`  ${line}`)
}
const skipsAllowed = process.env.POSTERN_REQUIRE_FOREIGN !== '1'
if (!skipsAllowed && skippedReal > 0) {
  console.log('\nPOSTERN_REQUIRE_FOREIGN=1 allows no skip where the real program is tested')
  broken = true
}
if (unsteady.length > 0) {
  console.log('\nfailed at first, and passed when its file was run again:')
  for (const line of unsteady) console.log(`  ${line}`)
}
// Last, where whoever reads only the end of a long log finds it.
if (failed.length > 0) {
  console.log('\nfailed:')
  for (const line of failed) console.log(`  ${line}`)
}
if (broken) total.failed = Math.max(total.failed, 1)
process.exitCode = total.failed > 0 ? 1 : 0
console.log(`\ntests: ${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)

/**
 * POSTERN_AGAIN=1, for machines where anything may stall: a few files that failed run once more, each alone. What passes
 * then counts, and is named at the end: a test that is unsteady has to be mended too.
 */
function steadied(project, first) {
  const files = first.results.testResults.filter((file) => file.status === 'failed')
  if (process.env.POSTERN_AGAIN !== '1' || files.length === 0 || files.length > 3) return first
  const again = files.map((file) => runProject(project, [file.name]))
  if (again.some(({ ended }) => ended !== 0)) return first
  for (const file of files)
    for (const test of file.assertionResults)
      if (test.status === 'failed')
        unsteady.push(`${relative(home, file.name)}: ${test.fullName}\n    ${test.failureMessages.join('\n    ')}`)
  const passed = first.results.testResults.filter((file) => file.status !== 'failed')
  return { ended: 0, results: { testResults: [...passed, ...again.flatMap(({ results }) => results.testResults)] } }
}

/** Runs one vitest project; gives its exit code and its JSON report. */
function runProject(project, files = []) {
  const folder = mkdtempSync(join(tmpdir(), 'postern-report-'))
  const report = join(folder, 'report.json')
  try {
    const vitest = join(home, 'node_modules/vitest/vitest.mjs')
    const flags = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`, '--passWithNoTests']
    const done = spawnSync(process.execPath, [vitest, 'run', '--project', project, ...flags, ...files], {
      cwd: home,
      stdio: 'inherit',
      env: { ...process.env, ...(files.length === 0 && { POSTERN_ALL_TESTS: '1' }) },
    })
    return { ended: done.status ?? 1, results: readReport(report) }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return { testResults: [] }
  }
}

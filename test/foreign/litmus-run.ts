import { expect } from 'vitest'
import { run } from '../harness.js'

/** Debian's litmus 0.13: the suites and how many tests each one has. */
const suites = { basic: 16, copymove: 13, props: 30, locks: 41, http: 4 } as const

/**
 * An `If` header whose only list is false is 412 by RFC 4918 §10.4.1, which litmus takes with a warning where the
 * resource is locked too.
 */
const allowedWarnings = new Set(['PUT failed with 412 not 423'])

interface Summary {
  readonly run: number
  readonly passed: number
  readonly failed: number
}

/** Runs every suite of litmus, in a folder for its notes, and expects that it finds nothing. */
export async function expectLitmusFindsNothing(
  url: string,
  caller: readonly [string, string],
  folder: string,
): Promise<void> {
  const done = await run('litmus', ['-k', url, ...caller], { cwd: folder })
  // Over TLS litmus leaves out the one test that needs a socket of its own: `expect100`.
  const skipped = url.startsWith('https:') ? 1 : 0
  const wanted = Object.fromEntries(
    Object.entries(suites).map(([suite, count]) => {
      const ran = suite === 'http' ? count - skipped : count
      return [suite, { run: ran, passed: ran, failed: 0 }]
    }),
  )
  expect(summaries(done.stdout), done.stdout).toEqual(wanted)
  expect([...done.stdout.matchAll(/expect100\.+ SKIPPED/g)]).toHaveLength(skipped)
  expect([...done.stdout.matchAll(/SKIPPED/g)]).toHaveLength(skipped)
  const warnings = [...done.stdout.matchAll(/WARNING: (.*)/g)].map(([, warning]) => warning)
  expect(warnings.filter((warning) => !allowedWarnings.has(warning ?? ''))).toEqual([])
}

/** Reads lines like `<- summary for 'props': of 30 tests run: 30 passed, 0 failed. 100.0%`. */
function summaries(output: string): Record<string, Summary> {
  const found = output.matchAll(/^<- summary for `?'?(\w+)': of (\d+) tests run: (\d+) passed, (\d+) failed/gm)
  return Object.fromEntries(
    [...found].map(([, suite = '', ran, passed, failed]) => [
      suite,
      { run: Number(ran), passed: Number(passed), failed: Number(failed) },
    ]),
  )
}

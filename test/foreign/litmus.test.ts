import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { run, startServer } from '../harness.js'
import { describeForeign } from './tools.js'

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

describeForeign('litmus', ['program: litmus'], () => {
  let server: Server
  let folder: string
  let bob: readonly [string, string]

  beforeAll(async () => {
    server = await startServer()
    folder = await mkdtemp(join(tmpdir(), 'postern-litmus-'))
    bob = await server.addUser('bob', 'rw:/bob/**')
    expect((await server.request('MKCOL', '/bob/')).status).toBe(201)
  })

  afterAll(async () => {
    await server[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  it.each([
    ['the admin at /', '/', () => ['admin', server.adminPassword] as const],
    ['a user with a grant on a folder', '/bob/', () => bob],
  ] as const)('finds nothing: %s', async (_, path, caller) => {
    const done = await run('litmus', ['-k', server.url + path, ...caller()], { cwd: folder })
    const wanted = Object.fromEntries(
      Object.entries(suites).map(([suite, count]) => [suite, { run: count, passed: count, failed: 0 }]),
    )
    expect(summaries(done.stdout), done.stdout).toEqual(wanted)
    expect(done.stdout).not.toMatch(/\bskipped\b|SKIPPED/)
    const warnings = [...done.stdout.matchAll(/WARNING: (.*)/g)].map(([, warning]) => warning)
    expect(warnings.filter((warning) => !allowedWarnings.has(warning ?? ''))).toEqual([])
  })
})

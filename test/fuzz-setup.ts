import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect } from 'vitest'

/** With FUZZ_SECONDS the fast-check properties of a file share that time, instead of running a hundred times each (`npm run fuzz`). */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? '0')

function propertiesHere(): number {
  const { testPath = '' } = expect.getState()
  return Math.max(1, readFileSync(testPath, 'utf8').split('fc.assert(').length - 1)
}

/* eslint-disable @typescript-eslint/no-deprecated -- plugins, their successors, cannot be set for all properties at once */
if (seconds > 0)
  fc.configureGlobal({
    numRuns: 1_000_000_000,
    interruptAfterTimeLimit: (seconds * 1000) / propertiesHere(),
    markInterruptAsFailure: false,
  })

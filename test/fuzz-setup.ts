import fc from 'fast-check'

/** With FUZZ_SECONDS every fast-check property runs for that long instead of a hundred times (`npm run fuzz`). */
const seconds = Number(process.env['FUZZ_SECONDS'] ?? '0')

/* eslint-disable @typescript-eslint/no-deprecated -- plugins, their successors, cannot be set for all properties at once */
if (seconds > 0)
  fc.configureGlobal({
    numRuns: 1_000_000_000,
    interruptAfterTimeLimit: seconds * 1000,
    markInterruptAsFailure: false,
  })

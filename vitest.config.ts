import { defineConfig } from 'vitest/config'

/** Unit and contract suites lie beside the code and in test/contract; what starts the real binary is a project of its own. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          setupFiles: ['test/fuzz-setup.ts'],
          include: ['src/**/*.test.ts', 'test/*.test.ts', 'test/contract/**/*.test.ts'],
          testTimeout: 20_000,
          // Properties that run for a set time wait for no core: scripts/fuzz.mjs.
          maxWorkers: process.env['FUZZ_SECONDS'] === undefined ? 2 : 4,
        },
      },
      {
        test: {
          name: 'wire',
          include: ['test/wire/**/*.test.ts', 'test/faults/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          maxWorkers: 3,
        },
      },
      {
        test: {
          name: 'foreign',
          globalSetup: ['test/foreign-setup.ts'],
          include: ['test/foreign/**/*.test.ts'],
          testTimeout: 240_000,
          hookTimeout: 120_000,
          maxWorkers: 3,
        },
      },
    ],
  },
})

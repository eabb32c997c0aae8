import { createRequire } from 'node:module'
import { builtInArgon2 } from './built-in-argon2.js'

/** argon2id (RFC 9106) with hashes in PHC string format, as the package `@node-rs/argon2` has it. */
export interface Argon2 {
  hash(password: string, cost: Argon2Cost): Promise<string>
  /** Throws for text that is no hash. */
  verify(stored: string, password: string): Promise<boolean>
  verifySync(stored: string, password: string): boolean
  /** What a hash says of itself. Throws for text that is none. */
  parseOptions(stored: string): Argon2Cost & { readonly algorithm: number; readonly saltLen: number }
}

export interface Argon2Cost {
  /** KiB. */
  readonly memoryCost: number
  readonly timeCost: number
  readonly parallelism: number
  /** Bytes. */
  readonly outputLen: number
}

/**
 * The package, or what Node has built in (24.7 and up) where it is not installed, as on Lambda. By `require`, which spares
 * 20 ms of the start: `import` reads all of the package, which is CommonJS, for what it may export.
 */
export function loadArgon2(): Argon2 {
  try {
    return createRequire(import.meta.url)('@node-rs/argon2') as Argon2
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return builtInArgon2()
    throw error
  }
}

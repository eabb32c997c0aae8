import { compilePattern } from './pattern.js'
import type { StorePath } from '../core/path.js'

/** What may be put at most below a path, by everybody. */
export interface UploadRule {
  /** As in a grant: `/inbox/**`. */
  readonly path: string
  readonly bytes: number
}

/** The most bytes that a file of that name may be uploaded with; `Infinity` where no rule speaks of it. */
export type UploadLimits = (path: StorePath) => number

/** Where several rules name a path the smallest counts. Undefined without any rule. Throws `invalid` like `compilePattern`. */
export function createUploadLimits(rules: readonly UploadRule[]): UploadLimits | undefined {
  if (rules.length === 0) return undefined
  const compiled = rules.map(({ path, bytes }) => ({ pattern: compilePattern(path), bytes }))
  return (path) => Math.min(...compiled.map(({ pattern, bytes }) => (pattern.matches(path) ? bytes : Infinity)))
}

import { compilePattern } from './pattern.js'
import { Failure } from '../core/failure.js'
import type { StorePath } from '../core/path.js'
import type { Body } from '../store/store.js'

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

export function tooLarge(most: number): Failure {
  return new Failure('too-large', `A file may have at most ${most} bytes here.`, { size: most })
}

/** The body, for as long as it is not too large: throws at the first byte over that. */
export async function* atMost(body: Body, most: number, refusal = tooLarge): AsyncGenerator<Uint8Array> {
  let total = 0
  for await (const chunk of body) {
    total += chunk.byteLength
    if (total > most) throw refusal(most)
    yield chunk
  }
}

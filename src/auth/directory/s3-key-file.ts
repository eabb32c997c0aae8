import { isFailure } from '../../core/failure.js'
import { parseGrant } from '../grant.js'
import type { LineProblem, Parsed } from './live-file.js'

/** What the file of one access key says. */
export interface S3KeyFacts {
  /** Absent in a file without a line that counts. */
  readonly secret?: string
  readonly grants: readonly string[]
}

/**
 * Reads lines `SECRET:GLOB`: split at the first colon, all with the same secret. Blank lines and those that begin with `#`
 * say nothing.
 */
export function parseS3KeyFile(text: string): Parsed<S3KeyFacts> {
  const problems: LineProblem[] = []
  const grants: string[] = []
  let only: string | undefined
  for (const [at, full] of text.split('\n').entries()) {
    const line = full.trimEnd()
    if (line.trim() === '' || line.startsWith('#')) continue
    const problem = (why: string): void => {
      problems.push({ line: at + 1, why })
    }
    const colon = line.indexOf(':')
    const secret = line.slice(0, Math.max(0, colon))
    if (secret === '') {
      problem('it is not SECRET:GLOB')
      continue
    }
    only ??= secret
    if (secret !== only) {
      problem('it has another secret than the lines before; a key has one')
      continue
    }
    const grant = grantOfGlob(line.slice(colon + 1).trim())
    if (grant === undefined) problem('its pattern is not understood; use `*` within a name and `**` for any names')
    else grants.push(grant)
  }
  return { facts: { grants, ...(only !== undefined && { secret: only }) }, problems }
}

/**
 * A glob over `bucket/key` as a grant of everything: a `*` at the end as a whole name covers all that lies below, as the
 * users of such files expect; elsewhere it is a part of one name; `**` is any number of names. Undefined for what is not
 * understood: `?` and brackets among it, which would not mean themselves elsewhere.
 */
export function grantOfGlob(glob: string): string | undefined {
  if (glob === '' || /[?[\]]/.test(glob)) return undefined
  const grant = `rw:/${glob.replace(/^\//, '').replace(/(^|\/)\*$/, '$1**')}`
  try {
    parseGrant(grant)
    return grant
  } catch (error) {
    if (isFailure(error, 'invalid')) return undefined
    throw error
  }
}

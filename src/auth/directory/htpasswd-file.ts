import { knownHash } from '../password-formats/formats.js'
import type { LineProblem, Parsed } from './live-file.js'

/** What an htpasswd file says. */
export interface HtpasswdFacts {
  /** The hash of each name, which is NFC. */
  readonly users: ReadonlyMap<string, string>
  /** All hashes of a known kind. */
  readonly known: readonly string[]
  /** The one of these that costs most to check. */
  readonly dearest: string | undefined
}

/**
 * Reads `NAME:HASH` lines as Apache does: blank lines and those that begin with `#` say nothing, the first line of a name
 * counts, and what follows a further colon is left out. A hash of no known kind stays, so that the name is known and
 * nothing opens it.
 */
export function parseHtpasswd(text: string): Parsed<HtpasswdFacts> {
  const users = new Map<string, string>()
  const problems: LineProblem[] = []
  const understood: string[] = []
  let dearest: string | undefined
  let dearestCost = 0
  let complete = true
  for (const [at, full] of text.split('\n').entries()) {
    const line = full.replace(/\r$/, '')
    if (line.trim() === '' || line.startsWith('#')) continue
    const problem = (why: string): void => {
      problems.push({ line: at + 1, why })
    }
    const [name = '', hash = ''] = line.split(':')
    const known = knownHash(hash)
    complete = known !== undefined
    if (name === '' || !line.includes(':')) {
      problem('it is not NAME:HASH')
      continue
    }
    if (name.includes('\uFFFD')) {
      problem('its name is not UTF-8')
      continue
    }
    if (users.has(name.normalize('NFC'))) {
      problem('its name has come before')
      continue
    }
    if (known === undefined) problem('its hash is of no kind that is known, or would cost too much to check')
    else understood.push(hash)
    if (known !== undefined && known.cost > dearestCost) {
      dearest = hash
      dearestCost = known.cost
    }
    users.set(name.normalize('NFC'), hash)
  }
  return {
    facts: { users, known: understood, dearest },
    problems,
    ...(!complete && !text.endsWith('\n') && { unfinished: 'its last line may stop in the middle' }),
  }
}

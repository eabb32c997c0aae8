import { isWithin, pathOf, rootPath, segmentsOf, toPath, type StorePath } from '../core/path.js'
import { Failure } from '../core/failure.js'

/** A set of canonical paths, as a grant names it. Judged on whole decoded segments, never on text that merely begins alike. */
export interface Pattern {
  /** The path is in the set. */
  matches(path: StorePath): boolean
  /** The path and everything that is or could be below it are in the set. Says no to some odd patterns that mean it (a `**` followed by `*`). */
  matchesAllBelow(path: StorePath): boolean
  /** The path or something that could be below it is in the set. */
  mayMatchBelow(path: StorePath): boolean
  /** The path is on the way to all that the set can hold: at or above the part of the pattern without wildcards. */
  leadsTo(path: StorePath): boolean
}

/**
 * Compiles `/acme/**`, `/acme/*.pdf`, `/acme/a`: `*` is any part of one segment (alone: one whole segment), `**` any
 * number of segments, none included. All other characters stand for themselves. A repeated or final slash means nothing,
 * as in paths. Throws `invalid` for what no path could be and for `**` as a part of a segment.
 */
export function compilePattern(text: string): Pattern {
  const segments = segmentsOf(toPath(text))
  for (const segment of segments)
    if (segment !== '**' && segment.includes('**'))
      throw new Failure('invalid', `\`**\` must be a whole segment in ${JSON.stringify(text)}.`)
  const firstWild = segments.findIndex((segment) => segment.includes('*'))
  if (firstWild === -1) return exactly(toPath(text))
  if (firstWild === segments.length - 1 && segments[firstWild] === '**')
    return treeOf(firstWild === 0 ? rootPath : toPath('/' + segments.slice(0, -1).join('/')))
  return wild(segments)
}

function exactly(only: StorePath): Pattern {
  return {
    matches: (path) => path === only,
    matchesAllBelow: () => false,
    mayMatchBelow: (path) => isWithin(only, path),
    leadsTo: (path) => isWithin(only, path),
  }
}

function treeOf(top: StorePath): Pattern {
  if (top === '/') {
    const always = (): boolean => true
    return { matches: always, matchesAllBelow: always, mayMatchBelow: always, leadsTo: (path) => path === rootPath }
  }
  return {
    matches: (path) => isWithin(path, top),
    matchesAllBelow: (path) => isWithin(path, top),
    mayMatchBelow: (path) => isWithin(path, top) || isWithin(top, path),
    leadsTo: (path) => isWithin(top, path),
  }
}

type SegmentTest = '**' | ((segment: string) => boolean)

function wild(segments: readonly string[]): Pattern {
  const tests = segments.map((segment): SegmentTest => (segment === '**' ? '**' : segmentTest(segment)))
  const firstTree = tests.indexOf('**')
  const head = firstTree === -1 ? tests : tests.slice(0, firstTree)
  const literal = pathOf(
    segments.slice(
      0,
      segments.findIndex((segment) => segment.includes('*')),
    ),
  )
  const matches = (path: StorePath): boolean => matchSegments(tests, segmentsOf(path))
  return {
    matches,
    matchesAllBelow: tests.at(-1) === '**' ? matches : () => false,
    mayMatchBelow: (path) => {
      const names = segmentsOf(path)
      // Behind a `**` anything may still come; before it, each segment must fit its own.
      if (firstTree === -1 && names.length > head.length) return false
      return head.every((test, at) => at >= names.length || test === '**' || test(names[at] ?? ''))
    },
    leadsTo: (path) => isWithin(literal, path),
  }
}

/** Steps back only to the latest `**`: what an earlier one could still take, the latest can take as well. */
function matchSegments(tests: readonly SegmentTest[], names: readonly string[]): boolean {
  let at = 0
  let tree = -1
  let taken = 0
  for (let name = 0; name < names.length;) {
    const test = tests[at]
    if (test === '**') {
      tree = at++
      taken = name
    } else if (test?.(names[name] ?? '') === true) {
      at++
      name++
    } else if (tree !== -1) {
      at = tree + 1
      name = ++taken
    } else return false
  }
  while (tests[at] === '**') at++
  return at === tests.length
}

function segmentTest(pattern: string): (segment: string) => boolean {
  const [head = '', ...rest] = pattern.split('*')
  const tail = rest.pop()
  if (tail === undefined) return (segment) => segment === pattern
  const shortest = pattern.length - rest.length - 1
  return (segment) => {
    if (segment.length < shortest || !segment.startsWith(head) || !segment.endsWith(tail)) return false
    let from = head.length
    const end = segment.length - tail.length
    for (const middle of rest) {
      const found = segment.indexOf(middle, from)
      if (found === -1 || found + middle.length > end) return false
      from = found + middle.length
    }
    return true
  }
}

/** Whether a relative path matches. */
export type Glob = (path: string) => boolean

/** `**`, or the characters of a pattern for one segment. */
type SegmentPattern = '**' | readonly string[]

/**
 * A pattern over a relative path: `**` as a segment stands for any number of segments, `*` for any characters of one
 * segment, `?` for one of them; everything else for itself. Time grows with the product of both lengths at most, whatever
 * the pattern. Never throws.
 */
export function compileGlob(pattern: string): Glob {
  const segments: readonly SegmentPattern[] = pattern
    .split('/')
    .map((segment) => (segment === '**' ? segment : Array.from(segment)))
  return (path) =>
    matches(
      segments,
      path.split('/'),
      (segment) => segment === '**',
      (segment, name) => segment !== '**' && segmentMatches(segment, name),
    )
}

/** The text before the first wildcard, with which every match begins. */
export function literalPrefix(pattern: string): string {
  const wild = pattern.search(/[*?]/)
  if (wild === -1) return pattern
  // `a/**` matches `a` itself too.
  const start = pattern.slice(0, wild)
  return start.endsWith('/') && pattern.startsWith('**', wild) ? start.slice(0, -1) : start
}

function segmentMatches(pattern: readonly string[], name: string): boolean {
  return matches(
    pattern,
    Array.from(name),
    (mark) => mark === '*',
    (mark, character) => mark === '?' || mark === character,
  )
}

/** Greedy matching with one way back, to the last wildcard: no more is ever needed, so time cannot explode. */
function matches<Mark, Item>(
  pattern: readonly Mark[],
  items: readonly Item[],
  isWild: (mark: Mark) => boolean,
  equal: (mark: Mark, item: Item) => boolean,
): boolean {
  let at = 0
  let item = 0
  let wildAt = -1
  let retryFrom = 0
  while (item < items.length) {
    const mark = pattern[at]
    const current = items[item]
    if (mark !== undefined && isWild(mark)) {
      wildAt = at++
      retryFrom = item
    } else if (mark !== undefined && current !== undefined && equal(mark, current)) {
      at++
      item++
    } else if (wildAt >= 0) {
      at = wildAt + 1
      item = ++retryFrom
    } else return false
  }
  return pattern.slice(at).every(isWild)
}

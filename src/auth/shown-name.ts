const longest = 100

/** What a client calls itself, fit for a line of the log: bounded, and as JSON would escape it, without the quotes. */
export function shownName(name: string): string {
  const short = name.length > longest ? name.slice(0, longest) + '…' : name
  return short.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
    (mark) => `\\u{${(mark.codePointAt(0) ?? 0).toString(16)}}`,
  )
}

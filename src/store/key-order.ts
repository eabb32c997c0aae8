import type { Entry } from './store.js'

/** What an entry is sorted by in `order: 'key'`: its path, a directory's with a slash at its end. */
export function keyOf(entry: Pick<Entry, 'path' | 'kind'>): string {
  return entry.kind === 'directory' && entry.path !== '/' ? entry.path + '/' : entry.path
}

/** Compares keys or names by their UTF-8 bytes, without encoding them. Negative, 0 or positive. */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at)
    const y = b.charCodeAt(at)
    if (x !== y) return rank(x) - rank(y)
  }
  return a.length - b.length
}

/** UTF-16 puts surrogates (U+10000 and above) before U+E000–U+FFFF, UTF-8 after them. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

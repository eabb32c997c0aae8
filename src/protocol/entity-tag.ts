/** An entity tag (RFC 9110 §8.8.3) without its quotes. */
export interface EntityTag {
  readonly value: string
  readonly weak: boolean
}

const listItem = /[ \t]*(?:(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|$)/y
const longestField = 16_384

/**
 * Reads the value of `If-Match` or `If-None-Match`. Anything but `*` or a list of entity tags is junk that some clients
 * send with every request; it gives undefined, as if the field were absent. Never throws.
 */
export function parseEntityTags(field: string | undefined): '*' | readonly EntityTag[] | undefined {
  if (field === undefined || field.length > longestField) return undefined
  if (field.trim() === '*') return '*'
  const tags: EntityTag[] = []
  listItem.lastIndex = 0
  while (listItem.lastIndex < field.length) {
    const found = listItem.exec(field)
    if (found === null) return undefined
    const [, weak, value] = found
    if (value !== undefined) tags.push({ value, weak: weak !== undefined })
  }
  return tags.length === 0 ? undefined : tags
}

/** Reads one entity tag, as in `If-Range`; undefined for anything else. */
export function parseEntityTag(field: string): EntityTag | undefined {
  const found = /^[ \t]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*$/.exec(field)
  const value = found?.[2]
  return value === undefined ? undefined : { value, weak: found?.[1] !== undefined }
}

/** Strong comparison (RFC 9110 §8.8.3.2): a weak tag equals nothing. `etag` is a store's, without quotes. */
export function matchesStrongly(tags: '*' | readonly EntityTag[], etag: string): boolean {
  return tags === '*' || tags.some((tag) => !tag.weak && tag.value === etag)
}

/** Weak comparison (RFC 9110 §8.8.3.2). `etag` is a store's, without quotes. */
export function matchesWeakly(tags: '*' | readonly EntityTag[], etag: string): boolean {
  return tags === '*' || tags.some((tag) => tag.value === etag)
}

/** A store's etag as a header shows it. */
export function quoteEntityTag(etag: string): string {
  return `"${etag}"`
}

import { Failure } from '../../../core/failure.js'
import { childElements } from '../../../core/xml.js'
import type { XmlElement } from '../../../core/xml.js'
import type { Entry } from '../../../store/store.js'
import { childText, malformed } from '../request-xml.js'
import { element, text } from '../xml.js'

/** The attribute that holds the tags of an object, encoded as in the header of that name. */
export const tagsAttribute = 'x-amz-tagging'

/** Bounds of S3 ("Categorizing your objects using tags"), in characters. */
const mostTags = 10
const mostKeyLength = 128
const mostValueLength = 256

const allowed = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

export interface Tag {
  readonly key: string
  readonly value: string
}

/** The tags of a query such as `a=1&b=2`. Throws `invalid` (`InvalidArgument` for bad escapes, else `InvalidTag`). */
export function parseTags(query: string): readonly Tag[] {
  const tags = query
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair): Tag => {
      const equals = pair.indexOf('=')
      return equals === -1
        ? { key: decoded(pair), value: '' }
        : { key: decoded(pair.slice(0, equals)), value: decoded(pair.slice(equals + 1)) }
    })
  return checked(tags)
}

/** The tags of a `Tagging` document. Throws `invalid` (`MalformedXML`, `InvalidTag`). */
export function tagsOfXml(tagging: XmlElement): readonly Tag[] {
  const set = childElements(tagging).find(({ name }) => name === 'TagSet')
  if (set === undefined) throw malformed('Tagging must hold a TagSet.')
  const tags = childElements(set).map((child): Tag => {
    const key = childText(child, 'Key')
    const value = childText(child, 'Value')
    if (child.name !== 'Tag' || key === undefined || value === undefined)
      throw malformed('A TagSet holds Tag elements, each with a Key and a Value.')
    return { key, value }
  })
  return checked(tags)
}

/** The tags of an object. */
export function tagsOf({ attributes }: Pick<Entry, 'attributes'>): readonly Tag[] {
  const kept = attributes?.[tagsAttribute]
  return kept === undefined ? [] : parseTags(kept)
}

/** How many tags an object has. */
export function tagCount({ attributes }: Pick<Entry, 'attributes'>): number {
  const kept = attributes?.[tagsAttribute]
  return kept === undefined || kept === '' ? 0 : kept.split('&').length
}

/** Tags as they are kept; undefined for none. */
export function writeTags(tags: readonly Tag[]): string | undefined {
  if (tags.length === 0) return undefined
  return tags.map(({ key, value }) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`).join('&')
}

/** A `TagSet`. */
export function tagSetXml(tags: readonly Tag[]): string {
  return element('TagSet', ...tags.map(({ key, value }) => element('Tag', text('Key', key), text('Value', value))))
}

function checked(tags: readonly Tag[]): readonly Tag[] {
  if (tags.length > mostTags) throw badTag(`An object can have at most ${mostTags} tags.`)
  for (const { key, value } of tags) {
    if (key === '' || key.length > mostKeyLength) throw badTag(`The key of a tag has 1 to ${mostKeyLength} characters.`)
    if (value.length > mostValueLength) throw badTag(`The value of a tag has at most ${mostValueLength} characters.`)
    if (key.startsWith('aws:')) throw badTag('No key of a tag begins with aws:.')
    if (!allowed.test(key) || !allowed.test(value))
      throw badTag('Tags are made of letters, digits, spaces and _ . : / = + - @.')
  }
  if (new Set(tags.map(({ key }) => key)).size !== tags.length) throw badTag('Each key of a tag may come once.')
  return tags
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part.replaceAll('+', ' '))
  } catch (cause) {
    throw new Failure('invalid', 'The tags are not valid percent-encoded UTF-8.', { reason: 'InvalidArgument', cause })
  }
}

function badTag(message: string): Failure {
  return new Failure('invalid', message, { reason: 'InvalidTag' })
}

import { Failure } from '../../core/failure.js'

/**
 * The media type that a drop keeps: what the sender says, where it says something. Throws `media-type` where it must be one of
 * some and is not.
 */
export function allowedType(given: string | undefined, types: readonly string[]): string | undefined {
  // What curl and others say where nobody has said anything.
  const type = /^application\/x-www-form-urlencoded\b/i.test(given ?? '') ? undefined : given
  const isPlain = type !== undefined && type.length <= 255 && /^[\x20-\x7e]+$/.test(type)
  if (types.length === 0) return isPlain ? type : undefined
  const named = isPlain ? (type.split(';')[0] ?? '').trim().toLowerCase() : ''
  const fits = types.some((each) => (each.endsWith('/*') ? named.startsWith(each.slice(0, -1)) : named === each))
  if (fits) return type
  throw new Failure('media-type', `The content-type must be one of ${types.join(', ')}`)
}

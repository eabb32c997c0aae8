import { Failure } from './failure.js'

declare const storePath: unique symbol

/**
 * The canonical name of a file or directory: `/` or `/a/b`, decoded, NFC, without empty, `.` or `..` segments, without a
 * trailing slash. Whoever authorises and whoever opens read the same value. Made here only.
 */
export type StorePath = string & { readonly [storePath]: true }

export const rootPath = '/' as StorePath

/** Longest segment and longest path in UTF-8 bytes: NAME_MAX and PATH_MAX of the systems below. */
export const maxSegmentBytes = 255
export const maxPathBytes = 4000

/** `/-` and all below it is Postern's own: no file can be there, and what lies there on a medium is neither shown nor touched. */
export function isOwnPath(path: StorePath): boolean {
  return path.charCodeAt(1) === 45 && (path.length === 2 || path.charCodeAt(2) === 47)
}

/** What a request target names. */
export interface ParsedTarget {
  readonly path: StorePath
  /** The target ended with a slash: the client means a collection. */
  readonly slash: boolean
  /** Everything after `?`, as sent; empty without one. */
  readonly query: string
}

const plainPath =
  /^\/[A-Za-z0-9_~!$'()*+,;=:@&-][A-Za-z0-9._~!$'()*+,;=:@&-]*(?:\/[A-Za-z0-9_~!$'()*+,;=:@&-][A-Za-z0-9._~!$'()*+,;=:@&-]*)*$/

/**
 * Reads the path of a request target (RFC 9112 §3.2 origin form, or the path of an absolute form). Repeated slashes
 * collapse. `.` and `..` in any encoding, encoded slashes, NUL, bad escapes and invalid UTF-8 throw `invalid`.
 */
export function parseTarget(target: string): ParsedTarget {
  const mark = target.indexOf('?')
  const raw = mark === -1 ? target : target.slice(0, mark)
  const query = mark === -1 ? '' : target.slice(mark + 1)
  if (!raw.startsWith('/')) throw new Failure('invalid', 'The request target must begin with a slash.')
  if (raw.includes('#')) throw new Failure('invalid', 'The request target must not have a fragment.')
  // The common case needs no decoding: plain ASCII, no empty segment, none that begins with a dot.
  if (raw.length <= 200 && plainPath.test(raw)) return { path: raw as StorePath, slash: false, query }
  const segments: string[] = []
  for (const part of raw.split('/')) {
    if (part !== '') segments.push(decodeSegment(part))
  }
  return { path: pathOf(segments), slash: raw.endsWith('/'), query }
}

/** A canonical path from decoded text such as `/a/b` (CLI, configuration, S3 keys). Throws `invalid` like `parseTarget`. */
export function toPath(text: string): StorePath {
  if (!text.startsWith('/')) throw new Failure('invalid', `A path must begin with a slash: ${JSON.stringify(text)}.`)
  return pathOf(text.split('/').filter((part) => part !== ''))
}

/** A canonical path from decoded segments; each one is checked. */
export function pathOf(segments: readonly string[]): StorePath {
  if (segments.length === 0) return rootPath
  let path = ''
  for (const segment of segments) path += '/' + checkSegment(segment)
  if (path.length * 3 > maxPathBytes && Buffer.byteLength(path) > maxPathBytes)
    throw new Failure('invalid', `The path is longer than ${maxPathBytes} bytes.`)
  return path as StorePath
}

/** Decoded segments; none for the root. */
export function segmentsOf(path: StorePath): readonly string[] {
  return path === '/' ? [] : path.slice(1).split('/')
}

/** The path of the directory that holds this one; the root holds itself. */
export function parentOf(path: StorePath): StorePath {
  const slash = path.lastIndexOf('/')
  return (slash <= 0 ? '/' : path.slice(0, slash)) as StorePath
}

/** The last segment; empty for the root. */
export function nameOf(path: StorePath): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/**
 * A member of a directory, for names that a store has just read from its medium. Gives undefined for a name that no
 * client could address (invalid UTF-8 shows as U+FFFD and cannot be told apart, so it counts as such).
 */
export function memberOf(directory: StorePath, name: string): StorePath | undefined {
  if (plainName.test(name)) return (directory === '/' ? '/' + name : directory + '/' + name) as StorePath
  if (name === '' || name === '.' || name === '..' || name.includes('/') || name.includes('\0')) return undefined
  if (name.includes('\uFFFD')) return undefined
  const normal = isAscii(name) ? name : name.normalize('NFC')
  return (directory === '/' ? '/' + normal : directory + '/' + normal) as StorePath
}

/** ASCII without what a name cannot hold; a first dot is looked at more closely. */
const plainName = /^[^./\x00\x80-\uffff][^/\x00\x80-\uffff]*$/

/** Whether `path` is `ancestor` or lies below it, on segment borders. */
export function isWithin(path: StorePath, ancestor: StorePath): boolean {
  if (ancestor === '/') return true
  return path.startsWith(ancestor) && (path.length === ancestor.length || path.charCodeAt(ancestor.length) === 47)
}

/** Every path above this one, nearest first, the root last; none for the root. */
export function ancestorsOf(path: StorePath): readonly StorePath[] {
  const found: StorePath[] = []
  for (let at = path; at !== '/';) {
    at = parentOf(at)
    found.push(at)
  }
  return found
}

/** The path `from`-relative name moved below `to`; `path` must be `from` or below it. */
export function rebase(path: StorePath, from: StorePath, to: StorePath): StorePath {
  if (path === from) return to
  const rest = from === '/' ? path : path.slice(from.length)
  return (to === '/' ? rest : to + rest) as StorePath
}

/** The target as it is named below a base path, whether or not a proxy has stripped that already. */
export function withoutBase(target: ParsedTarget, basePath: string): ParsedTarget {
  const base = basePath as StorePath
  return basePath === '' || !isWithin(target.path, base)
    ? target
    : { ...target, path: rebase(target.path, base, rootPath) }
}

/** Percent-encoded for use in an href, a header or a target (RFC 3986 §3.3): only unreserved characters stay as they are. */
export function encodePath(path: StorePath): string {
  if (plainHref.test(path)) return path
  return path.split('/').map(encodeSegment).join('/')
}

/** One percent-encoded segment. */
export function encodeSegment(segment: string): string {
  if (plainHref.test(segment)) return segment
  return encodeURIComponent(segment).replace(/[!'()*]/g, (mark) => '%' + mark.charCodeAt(0).toString(16).toUpperCase())
}

const plainHref = /^[A-Za-z0-9/._~-]*$/

function decodeSegment(part: string): string {
  // Some clients send raw UTF-8; a transport hands the bytes over as Latin-1. What is no byte would be cut to another one.
  if (/[^\x00-\xff]/.test(part)) throw new Failure('invalid', 'The path is not valid percent-encoded UTF-8.')
  if (!isAscii(part))
    part = Buffer.from(part, 'latin1').reduce(
      (text, byte) => text + (byte > 127 ? `%${byte.toString(16)}` : String.fromCharCode(byte)),
      '',
    )
  if (!part.includes('%')) return part
  if (/%(?:2f|00)/i.test(part)) throw new Failure('invalid', 'The path holds an encoded slash or NUL.')
  try {
    return decodeURIComponent(part)
  } catch (cause) {
    throw new Failure('invalid', 'The path is not valid percent-encoded UTF-8.', { cause })
  }
}

function checkSegment(segment: string): string {
  if (segment === '') throw new Failure('invalid', 'The path holds an empty segment.')
  if (segment === '.' || segment === '..') throw new Failure('invalid', 'The path holds a `.` or `..` segment.')
  if (segment.includes('\0') || segment.includes('/')) throw new Failure('invalid', 'The path holds a NUL or a slash.')
  if (isAscii(segment)) {
    if (segment.length > maxSegmentBytes)
      throw new Failure('invalid', `A name is longer than ${maxSegmentBytes} bytes.`)
    return segment
  }
  // U+FFFD is how a name that is not UTF-8 shows; `memberOf` lists none of them, so none may be made.
  if (!segment.isWellFormed() || segment.includes('\uFFFD'))
    throw new Failure('invalid', 'The path is not valid UTF-8.')
  const normal = segment.normalize('NFC')
  if (Buffer.byteLength(normal) > maxSegmentBytes)
    throw new Failure('invalid', `A name is longer than ${maxSegmentBytes} bytes.`)
  // Composition can in theory bring a dangerous segment about; it never may.
  if (normal === '.' || normal === '..' || normal.includes('/') || normal.includes('\0'))
    throw new Failure('invalid', 'The path holds a `.` or `..` segment.')
  return normal
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text)
}

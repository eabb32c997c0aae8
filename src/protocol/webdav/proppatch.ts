import type { DavContext } from './context.js'
import { apacheNamespace, isOverridable, liveProperty } from './live-properties.js'
import { hrefElement, multistatus, propstat, statusElement } from './multistatus.js'
import { emptyElement, isWin32Property } from './propfind-request.js'
import { readDavXml } from './request-xml.js'
import type { Property, PropertyChange, PropertyName } from '../../catalog/properties.js'
import type { Session } from '../protocol.js'
import { Failure, isFailure } from '../../core/failure.js'
import { parseHttpDate, type HttpResponse } from '../../core/http.js'
import type { StorePath } from '../../core/path.js'
import { childElements, davNamespace, is, serializeXml, textOf, type XmlElement } from '../../core/xml.js'
import type { EntryChange } from '../../store/store.js'

/** PROPPATCH (RFC 4918 §9.2): all of the instructions in their order, or none of them. */
export async function proppatch({ request, target, session }: DavContext): Promise<HttpResponse> {
  const root = await readDavXml(request)
  const update = (root && read.get(root)) ?? readUpdate(root)
  if (root !== undefined) read.set(root, update)
  const entry = await session.store.stat(target.path)
  if (entry === undefined) throw new Failure('not-found', 'There is nothing at this path.')
  const href = hrefElement(entry.path, entry.kind === 'directory', session.basePath)
  if (update.instructions.some(({ verdict }) => verdict !== 'ok')) return refusal(href, update.instructions)
  // Office sets these on the file it has locked, without the token of its own lock.
  if (update.instructions.every(({ name }) => isWin32Property(name))) {
    for (const lock of await session.locks.covering(target.path))
      if (lock.principal === session.holder.principal) session.holder.tokens.add(lock.token)
  }
  try {
    await applyUpdate(session, target.path, update)
  } catch (error) {
    if (!isFailure(error, 'unsupported')) throw error
    // Not every store keeps times and flags of files: who sets one must not take it for kept.
    return refusal(
      href,
      update.instructions.map((one) => (one.ofFile === true ? { ...one, verdict: 'protected' as const } : one)),
    )
  }
  const done = update.instructions.map(({ name }) => emptyElement(name)).join('')
  return multistatus(`<D:response>${href}${propstat(done, 200)}</D:response>`)
}

/** What is said where nothing is done because some instructions cannot be carried out. */
function refusal(href: string, instructions: PropertyUpdate['instructions']): HttpResponse {
  const named = (wanted: 'ok' | 'protected' | 'malformed'): string =>
    instructions
      .filter(({ verdict }) => verdict === wanted)
      .map(({ name }) => emptyElement(name))
      .join('')
  const forbidden = named('protected')
  return multistatus(
    `<D:response>${href}` +
      (forbidden === ''
        ? ''
        : `<D:propstat><D:prop>${forbidden}</D:prop>${statusElement(403)}<D:error><D:cannot-modify-protected-property/></D:error></D:propstat>`) +
      propstat(named('malformed'), 409) +
      propstat(named('ok'), 424) +
      '</D:response>',
  )
}

/** The same body is the same element, for as long as it is remembered. */
const read = new WeakMap<XmlElement, PropertyUpdate>()

/**
 * Carries out an update of which nothing is refused: all of it, or none where either part of it fails. Throws `unsupported`
 * where the store does not keep what is to be set of the file.
 */
export async function applyUpdate(
  { store, properties }: Pick<Session, 'store' | 'properties'>,
  path: StorePath,
  { instructions, changes, entry }: PropertyUpdate,
): Promise<void> {
  const before = Object.keys(entry).length === 0 ? undefined : await properties.of(path)
  await properties.change(path, changes)
  if (before === undefined) return
  try {
    await store.change(path, entry)
  } catch (error) {
    // What Windows sets is kept as a property as well, and Windows reads it from there.
    const isKept = instructions.every(({ name, ofFile }) => ofFile !== true || isWin32Property(name))
    if (isKept && isFailure(error, 'unsupported')) return
    await properties.change(path, undoing(changes, before))
    throw error
  }
}

function undoing(changes: readonly PropertyChange[], before: readonly Property[]): readonly PropertyChange[] {
  return changes.map(({ property: { namespace, name } }): PropertyChange => {
    const old = before.find((each) => each.namespace === namespace && each.name === name)
    return old === undefined ? { kind: 'remove', property: { namespace, name } } : { kind: 'set', property: old }
  })
}

interface Instruction {
  readonly name: PropertyName
  readonly verdict: 'ok' | 'protected' | 'malformed'
  /** It changes the file itself. */
  readonly ofFile?: true
}

/** What a `propertyupdate` element asks for. */
export interface PropertyUpdate {
  readonly instructions: readonly Instruction[]
  readonly changes: readonly PropertyChange[]
  readonly entry: EntryChange
}

/** Reads a PROPPATCH body, or the `set` elements of an extended MKCOL. Throws `invalid`. */
export function readUpdate(root: XmlElement | undefined, rootName = 'propertyupdate'): PropertyUpdate {
  if (root === undefined || !is(root, davNamespace, rootName))
    throw new Failure('invalid', `The body must be a DAV: ${rootName} element.`)
  const instructions: Instruction[] = []
  const changes: PropertyChange[] = []
  let entry: EntryChange = {}
  for (const action of childElements(root)) {
    if (action.namespace !== davNamespace || (action.name !== 'set' && action.name !== 'remove')) continue
    for (const prop of childElements(action).filter((child) => is(child, davNamespace, 'prop'))) {
      for (const element of childElements(prop)) {
        const { namespace, name } = element
        const property = { namespace, name }
        const change = action.name === 'set' ? entryChange(element) : undefined
        if (change !== undefined) {
          instructions.push({ name: property, verdict: change === 'malformed' ? 'malformed' : 'ok', ofFile: true })
          if (change !== 'malformed') entry = { ...entry, ...change }
          // A time that Windows set is shown again to Windows as it was written.
          if (isLive(property)) continue
        } else if (isLive(property) && !isOverridable(property)) {
          instructions.push({ name: property, verdict: 'protected' })
          continue
        } else instructions.push({ name: property, verdict: 'ok' })
        changes.push(
          action.name === 'set'
            ? { kind: 'set', property: { ...property, xml: serializeXml(element) } }
            : { kind: 'remove', property },
        )
      }
    }
  }
  // A collection may well be made with nothing but its type.
  if (instructions.length === 0 && rootName === 'propertyupdate')
    throw new Failure('invalid', 'The propertyupdate element names no property.')
  return { instructions, changes, entry }
}

function isLive(name: PropertyName): boolean {
  return liveProperty(name) !== undefined
}

/** What setting a property changes of the file itself; undefined for ordinary properties. */
function entryChange(element: XmlElement): EntryChange | 'malformed' | undefined {
  const { namespace, name } = element
  if (namespace === apacheNamespace && name === 'executable') {
    const text = textOf(element).trim().toUpperCase()
    return text === 'T' || text === 'F' ? { executable: text === 'T' } : 'malformed'
  }
  const isTime =
    (namespace === davNamespace && (name === 'getlastmodified' || name === 'lastmodified')) ||
    (isWin32Property(element) && name === 'Win32LastModifiedTime')
  if (!isTime) return undefined
  const modified = timeOf(textOf(element).trim())
  return modified === undefined ? 'malformed' : { modified }
}

/** Milliseconds of an HTTP date, an RFC 3339 time or Unix seconds, up to the year 9999: no date has room for more. */
function timeOf(text: string): number | undefined {
  if (/^\d{1,12}(?:\.\d{1,9})?$/.test(text)) {
    const time = Math.round(Number(text) * 1000)
    return time < Date.UTC(10_000, 0) ? time : undefined
  }
  if (/^\d{4}-\d\d-\d\dT/.test(text)) {
    const time = Date.parse(text)
    return Number.isNaN(time) ? undefined : time
  }
  return parseHttpDate(text)
}

import {
  isOverridable,
  liveProperties,
  liveProperty,
  microsoftNamespace,
  ownCloudNamespace,
  type LiveProperty,
  type Resource,
} from './live-properties.js'
import { propstat } from './multistatus.js'
import type { Property, PropertyName } from '../../catalog/properties.js'
import { Failure } from '../../core/failure.js'
import { childElements, childNamed, davNamespace, escapeAttribute, is, type XmlElement } from '../../core/xml.js'

/** A PROPFIND body made ready to be asked of any number of resources. */
export interface PropfindRequest {
  /** The `propstat` elements for a resource; `brief` leaves out what it does not have. */
  propstats(resource: Resource, brief: boolean): string
  /** Whether this property is asked for by name, so that what it costs must be paid. */
  wants(name: string, namespace?: string): boolean
  /** What is asked for hangs on what is noted of files beside their bytes: the type that they were given, digests. */
  readonly ofNotes: boolean
}

/** Everything RFC 4918 §9.1 calls `allprop`. */
export const allProperties: PropfindRequest = allprop([])

/** Reads a PROPFIND body (RFC 4918 §14.20); an empty one is `allprop`. Throws `invalid`, `too-large` for more than 1000 names. */
export function readPropfind(root: XmlElement | undefined): PropfindRequest {
  if (root === undefined) return allProperties
  if (!is(root, davNamespace, 'propfind')) throw new Failure('invalid', 'The body must be a DAV: propfind element.')
  const kinds = childElements(root).filter(
    (child) => child.namespace === davNamespace && ['prop', 'propname', 'allprop'].includes(child.name),
  )
  const kind = kinds[0]
  if (kind === undefined || kinds.length > 1)
    throw new Failure('invalid', 'A propfind element holds exactly one of prop, propname and allprop.')
  if (kind.name === 'propname') return propname
  if (kind.name === 'allprop') {
    const include = childNamed(root, davNamespace, 'include')
    return allprop(include === undefined ? [] : checkedNames(include))
  }
  const names = checkedNames(kind)
  // Some clients ask for no property at all and mean all of them.
  return names.length === 0 ? allProperties : named(names)
}

/** Every member answers for each name, so there is a bound. */
const maxNames = 1000

function checkedNames(element: XmlElement): readonly PropertyName[] {
  const names = namesIn(element)
  if (names.length > maxNames)
    throw new Failure('too-large', `At most ${maxNames} properties can be asked for at once.`, { size: maxNames })
  return names
}

/** The names of the elements within one. */
export function namesIn(element: XmlElement): readonly PropertyName[] {
  return childElements(element).map(({ namespace, name }) => ({ namespace, name }))
}

/** An empty element of that name. */
export function emptyElement({ namespace, name }: PropertyName): string {
  if (namespace === davNamespace) return `<D:${name}/>`
  return namespace === '' ? `<${name}/>` : `<n:${name} xmlns:n="${escapeAttribute(namespace)}"/>`
}

function named(names: readonly PropertyName[]): PropfindRequest {
  const wanted = names.map((name) => ({
    name,
    live: liveProperty(name),
    overridable: isOverridable(name),
    missing: emptyElement(name),
  }))
  const asked = new Set(names.map(({ namespace, name }) => `${namespace}\n${name}`))
  return {
    wants: (name, namespace = davNamespace) => asked.has(`${namespace}\n${name}`),
    ofNotes: asked.has(`${davNamespace}\ngetcontenttype`) || asked.has(`${ownCloudNamespace}\nchecksums`),
    propstats(resource, brief) {
      let found = ''
      let missing = ''
      const hasDead = resource.dead.length > 0
      for (const { name, live, overridable, missing: absent } of wanted) {
        const value =
          live === undefined || (overridable && hasDead)
            ? ((hasDead ? deadValue(resource.dead, name) : undefined) ?? live?.value(resource))
            : live.value(resource)
        if (value === undefined) missing += absent
        else found += value
      }
      // Joplin takes an answer with nothing but 404 for a missing file, so an empty 200 goes before it (RFC 8144 §2.1 too).
      return (found === '' ? emptyPropstat : propstat(found, 200)) + (brief ? '' : propstat(missing, 404))
    },
  }
}

const emptyPropstat = '<D:propstat><D:prop/><D:status>HTTP/1.1 200 OK</D:status></D:propstat>'

function deadValue(dead: readonly Property[], wanted: PropertyName): string | undefined {
  return dead.find(({ namespace, name }) => name === wanted.name && namespace === wanted.namespace)?.xml
}

function allprop(include: readonly PropertyName[]): PropfindRequest {
  const always = liveProperties.filter(({ all }) => all)
  const more = include.flatMap((name) => {
    const live = liveProperty(name)
    return live === undefined || live.all ? [] : [live]
  })
  const live: readonly LiveProperty[] = [...always, ...more]
  return {
    ofNotes: true,
    wants: (name, namespace = davNamespace) =>
      more.some((property) => property.namespace === namespace && property.name === name),
    propstats(resource, brief) {
      let found = ''
      const { dead } = resource
      for (const property of live) {
        if (dead.length > 0 && isOverridable(property) && deadValue(dead, property) !== undefined) continue
        found += property.value(resource) ?? ''
      }
      for (const property of dead) found += property.xml
      let absent = ''
      if (!brief)
        for (const name of include)
          if (liveProperty(name)?.value(resource) === undefined && deadValue(dead, name) === undefined)
            absent += emptyElement(name)
      return propstat(found, 200) + propstat(absent, 404)
    },
  }
}

const propname: PropfindRequest = {
  ofNotes: false,
  wants: () => false,
  propstats(resource) {
    let found = ''
    for (const property of liveProperties) {
      if (property.value(resource) !== undefined) found += emptyElement(property)
    }
    for (const property of resource.dead) if (liveProperty(property) === undefined) found += emptyElement(property)
    return propstat(found, 200)
  },
}

/** What Explorer and Office set on every file they write; Office does so without the token of its own lock. */
export function isWin32Property({ namespace, name }: PropertyName): boolean {
  return namespace === microsoftNamespace && name.startsWith('Win32')
}

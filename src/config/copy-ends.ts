import { existsSync, realpathSync, statSync } from 'node:fs'
import { dirname, join, resolve, sep } from 'node:path'
import { Failure } from '../core/failure.js'
import { rootPath } from '../core/path.js'
import { openLocalStore } from '../store/local.js'
import { openMemoryStore } from '../store/memory.js'
import type { TreeEnd } from '../store/replicate.js'
import type { S3Settings } from '../store/s3/settings.js'
import type { Store } from '../store/store.js'
import { catalogNotes } from './catalog-notes.js'
import { readEnvironment } from './environment.js'
import { makeDirectory, openState } from './state.js'

/** Where `postern copy` reads or writes. */
export interface CopyEnd extends TreeEnd {
  /** For people, without secrets. */
  readonly name: string
  /** Whether attributes of files are kept there. */
  readonly keepsAttributes: boolean
  close(): Promise<void>
}

export interface CopyEndsOptions {
  /** What relative directories are relative to. */
  readonly directory: string
  /** The state directory of the one end that is a directory; else the one beside it, where there is one. */
  readonly state?: string
  readonly durability: 'full' | 'fast'
  /** Nothing is made, not even an empty target. */
  readonly dryRun: boolean
}

type Place =
  | { readonly kind: 'local'; readonly directory: string }
  | { readonly kind: 's3'; readonly settings: S3Settings; readonly name: string }

/**
 * Opens what is copied and where it goes: directories, or `s3://bucket/prefix?options`. A target that is a directory is
 * made where it is missing. Throws `invalid` for what is neither and where one lies within the other, `not-found` and
 * `not-directory` for a source that is no directory, and what the stores throw that cannot be opened.
 */
export async function openCopyEnds(
  source: string,
  target: string,
  options: CopyEndsOptions,
): Promise<{ readonly source: CopyEnd; readonly target: CopyEnd }> {
  const [from, to] = [await placeOf(source, options), await placeOf(target, options)]
  refuseOverlap(from, to)
  if (options.state !== undefined && from.kind === to.kind)
    throw new Failure('invalid', '--state goes with one directory and one bucket.')
  if (from.kind === 'local') requireDirectory(from.directory)
  const opened = await openEnd(from, 'source', options)
  try {
    return { source: opened, target: await openEnd(to, 'target', options) }
  } catch (error) {
    await opened.close()
    throw error
  }
}

async function placeOf(text: string, { directory }: CopyEndsOptions): Promise<Place> {
  if (/^s3:\/\//i.test(text)) {
    const { parseS3Url, shownS3Url } = await import('../store/s3/settings.js')
    const { AWS_REGION, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL } = readEnvironment()
    const region = AWS_REGION ?? AWS_DEFAULT_REGION
    const endpoint = AWS_ENDPOINT_URL_S3 ?? AWS_ENDPOINT_URL
    const settings = parseS3Url(text, {
      ...(region !== undefined && { region }),
      ...(endpoint !== undefined && { endpoint }),
    })
    return { kind: 's3', settings, name: shownS3Url(settings) }
  }
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new Failure('invalid', `${JSON.stringify(text.slice(0, text.indexOf(':')))} is not known: give a directory or s3://BUCKET/PREFIX?region=…`) // prettier-ignore
  return { kind: 'local', directory: resolve(directory, text) }
}

/** A copy into itself would never end, and one over itself could remove what it reads. */
function refuseOverlap(from: Place, to: Place): void {
  if (overlaps(from, to)) throw new Failure('invalid', 'One of the two lies within the other.')
}

function overlaps(from: Place, to: Place): boolean {
  if (from.kind === 'local' && to.kind === 'local')
    return isBelow(realPath(from.directory), realPath(to.directory), sep)
  if (from.kind !== 's3' || to.kind !== 's3') return false
  const [one, other] = [from.settings, to.settings]
  const isOneBucket = one.endpoint.href === other.endpoint.href && one.bucket === other.bucket
  return isOneBucket && isBelow(`/${one.prefix}`, `/${other.prefix}`, '/')
}

/** Whether one of two names is the other's, or lies below it. */
function isBelow(one: string, other: string, separator: string): boolean {
  const [a, b] = [one, other].map((name) => (name.endsWith(separator) ? name : name + separator))
  return a !== undefined && b !== undefined && (a.startsWith(b) || b.startsWith(a))
}

/** With every link followed in the part of it that exists. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realPath(parent), path.slice(parent.length))
  }
}

function requireDirectory(directory: string): void {
  const found = statSync(directory, { throwIfNoEntry: false })
  if (found === undefined) throw new Failure('not-found', `There is no directory ${directory}.`)
  if (!found.isDirectory()) throw new Failure('not-directory', `${directory} is not a directory.`)
}

async function openEnd(place: Place, role: 'source' | 'target', options: CopyEndsOptions): Promise<CopyEnd> {
  if (place.kind === 'local') return openDirectory(place.directory, role, options)
  const [{ openS3Service }, { openS3Store }] = await Promise.all([
    import('../store/s3/http-service.js'),
    import('../store/s3.js'),
  ])
  // To find out what a service can do takes writing: nothing is written where all is only read.
  const selfTest = role === 'target' && !options.dryRun
  const service = await openS3Service({ settings: place.settings, selfTest })
  const store = await openS3Store({ service })
  return endOf(store, place.name, { isObjects: true, keepsAttributes: true })
}

async function openDirectory(
  directory: string,
  role: 'source' | 'target',
  { state, durability, dryRun }: CopyEndsOptions,
): Promise<CopyEnd> {
  const beside = `${directory}.postern`
  const known = state ?? (existsSync(join(beside, 'catalog.sqlite')) ? beside : undefined)
  const opened = known === undefined ? undefined : await openState({ state: known, durability }, { create: false })
  try {
    if (role === 'target' && statSync(directory, { throwIfNoEntry: false }) === undefined) {
      if (dryRun) return endOf(openMemoryStore(), directory, { keepsAttributes: true, also: opened })
      makeDirectory(directory, 'root', 'Name another directory.')
    }
    requireDirectory(directory)
    const store = await openLocalStore({
      root: directory,
      durability,
      symlinks: 'absent',
      // What a copy has left that was killed.
      sweeps: role === 'target' && !dryRun,
      ...(opened && { notes: catalogNotes(opened.catalog) }),
    })
    return endOf(store, directory, { keepsAttributes: opened !== undefined, also: opened })
  } catch (error) {
    await opened?.close()
    throw error
  }
}

function endOf(
  store: Store,
  name: string,
  facts: { readonly isObjects?: boolean; readonly keepsAttributes: boolean; readonly also?: Closable | undefined },
): CopyEnd {
  const { isObjects = false, keepsAttributes, also } = facts
  return {
    store,
    path: rootPath,
    name,
    isObjects,
    keepsAttributes,
    async close() {
      await store.close()
      await also?.close()
    },
  }
}

interface Closable {
  close(): Promise<void>
}

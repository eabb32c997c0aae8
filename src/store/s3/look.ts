import { ancestorsOf, nameOf, parentOf, rootPath, type StorePath } from '../../core/path.js'
import { throwIfAborted } from '../aborted.js'
import { isDirectory, noParent, notDirectory, notFound } from '../refusals.js'
import type { S3Context } from './context.js'
import { directoryEtag } from './entries.js'
import { directoryKey, fileKey, isAbsentByName, pathOfKey, refuseName, twinsOf } from './keys.js'
import type { ObjectFacts } from './service.js'

/** A file, under the key that it really has. */
export interface FoundFile {
  readonly kind: 'file'
  readonly key: string
  readonly facts: ObjectFacts
}

/** A directory; `key` is its marker's, which the root has not and an implied directory not yet. */
export interface FoundDirectory {
  readonly kind: 'directory'
  readonly key: string
  /** Undefined without a marker. */
  readonly facts: ObjectFacts | undefined
}

export type Found = FoundFile | FoundDirectory

/**
 * What is at a path; undefined for nothing. A file takes one request, a directory three in two steps. Whether a file lies
 * above is not asked: that would be a request for each level.
 */
export async function find(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<Found | undefined> {
  throwIfAborted(signal)
  if (path === rootPath) {
    // It is there whatever the answer: whether there is one is what matters, to a listing that follows and to who asks for health.
    await hasBelow(context, '', signal)
    return { kind: 'directory', key: '', facts: undefined }
  }
  if (isAbsentByName(path)) return undefined
  return (await findFileOnly(context, path, signal)) ?? (await findDirectory(context, path, signal))
}

/** The same, for what must be there. Throws `not-found`. */
export async function findPresent(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<Found> {
  const found = await find(context, path, signal)
  if (found === undefined) throw notFound(path)
  return found
}

/** The same for a file. Throws `not-found`, `is-directory`. */
export async function findFile(context: S3Context, path: StorePath, signal?: AbortSignal): Promise<FoundFile> {
  const found = await findPresent(context, path, signal)
  if (found.kind === 'directory') throw isDirectory(path)
  return found
}

/** The file at a path, whatever directory has the name too. */
export async function findFileOnly(
  context: S3Context,
  path: StorePath,
  signal?: AbortSignal,
): Promise<FoundFile | undefined> {
  for (const key of twinsOf(fileKey(path))) {
    const facts = await context.service.head(key, signal)
    if (facts !== undefined) return { kind: 'file', key, facts }
  }
  return undefined
}

/** The directory at a path below the root, where no file has the name. */
export async function findDirectory(
  context: S3Context,
  path: StorePath,
  signal?: AbortSignal,
): Promise<FoundDirectory | undefined> {
  const keys = twinsOf(directoryKey(path))
  const [own = ''] = keys
  const looks = await Promise.all(
    keys.map(async (key) => ({
      key,
      looks: await Promise.all([context.service.head(key, signal), hasBelow(context, key, signal)]),
    })),
  )
  for (const {
    key,
    looks: [facts],
  } of looks)
    if (facts !== undefined) return { kind: 'directory', key, facts }
  return looks.some(({ looks: [, below] }) => below) ? { kind: 'directory', key: own, facts: undefined } : undefined
}

/** Whether any key begins with that of a directory. */
async function hasBelow({ service }: S3Context, key: string, signal: AbortSignal | undefined): Promise<boolean> {
  const page = await service.list({ prefix: key, max: 1, ...(signal === undefined ? {} : { signal }) })
  return page.objects.length > 0
}

/** What a write, copy or move finds where it wants to put something. */
export interface Target {
  readonly path: StorePath
  /** Where a file goes: the key that one there has already, else Postern's own. */
  readonly key: string
  /** What has the name; of a directory without its time. */
  readonly present: TargetPresent | undefined
  /** Directories above that are to be made, the topmost first; only where parents were asked for. */
  readonly missing: readonly StorePath[]
}

export type TargetPresent = {
  readonly kind: 'file' | 'directory'
  readonly etag: string
  readonly size: number
  readonly modified: number
}

export interface TargetOptions {
  /** Parents need not be there. */
  readonly parents?: boolean | undefined
  /** Whatever file has the name may be replaced, and the service judges that it is the one that was seen. */
  readonly unconditional?: boolean | undefined
  /** Listings may lag behind; this asks for the file itself too: where a condition has just failed, and within a turn. */
  readonly careful?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Looks at a name that something is to get, with one listing of the name and, unless it was seen a moment ago,
 * one look at the parent's marker, both at once. Throws
 * `denied` for reserved names, `invalid` for those too long, `is-directory` for the root, `no-parent` unless parents may
 * be made, `not-directory` for a file above.
 */
export async function lookAtTarget(context: S3Context, path: StorePath, options: TargetOptions = {}): Promise<Target> {
  throwIfAborted(options.signal)
  refuseName(path)
  if (path === rootPath) throw isDirectory(path)
  const keys = twinsOf(fileKey(path))
  if (options.unconditional === true && keys.length === 1 && (await isProbablyFree(context, path, options.signal)))
    return { path, key: fileKey(path), present: undefined, missing: [] }
  const [parents, looks] = await both(
    missingAbove(context, path, options),
    Promise.all(keys.map(async (key) => ({ key, present: await presentAt(context, key, options) }))),
  )
  const [own = ''] = keys
  const found =
    looks.find(({ present }) => present?.kind === 'file') ?? looks.find(({ present }) => present !== undefined)
  const key = found?.present?.kind === 'file' ? found.key : own
  return { path, key, present: found?.present, missing: parents }
}

/** Whether it is known that the parent is there, and no directory has the name; a file that has it is found by the write itself. */
async function isProbablyFree(context: S3Context, path: StorePath, signal: AbortSignal | undefined): Promise<boolean> {
  const names = await context.directories.names(parentOf(path), () => namesIn(context, parentOf(path), signal))
  return names !== undefined && !names.has(nameOf(path))
}

/** All names in a directory; undefined where they are more than one page. */
async function namesIn(
  { service }: S3Context,
  directory: StorePath,
  signal: AbortSignal | undefined,
): Promise<ReadonlySet<string> | undefined> {
  const prefix = directoryKey(directory)
  const page = await service.list({ prefix, delimiter: '/', ...(signal === undefined ? {} : { signal }) })
  if (page.token !== undefined) return undefined
  const paths = [...page.objects.map(({ key }) => key), ...page.prefixes].map(pathOfKey)
  return new Set(paths.flatMap((path) => (path === undefined || path === directory ? [] : [nameOf(path)])))
}

/** What has a key, or is a directory of that name, by one listing. */
async function presentAt(
  { service }: S3Context,
  key: string,
  { careful, signal }: TargetOptions,
): Promise<TargetPresent | undefined> {
  const more = signal === undefined ? {} : { signal }
  const [page, facts] = await both(
    service.list({ prefix: key, delimiter: '/', max: 10, ...more }),
    careful === true ? service.head(key, signal) : Promise.resolve(undefined),
  )
  const listed = careful === true ? facts : page.objects.find((object) => object.key === key)
  if (listed !== undefined) {
    const { etag, size, modified } = listed
    return { kind: 'file', etag, size, modified }
  }
  const below = key + '/'
  if (page.prefixes.includes(below)) return directoryPresent
  // Ten names may lie between the two: `a`, `a-1`, `a-2`, …, `a/`.
  const isCut = page.token !== undefined
  if (!isCut) return undefined
  return (await service.list({ prefix: below, max: 1, ...more })).objects.length > 0 ? directoryPresent : undefined
}

const directoryPresent: TargetPresent = { kind: 'directory', etag: directoryEtag, size: 0, modified: 0 }

/** The directories above that are missing, the topmost first. */
async function missingAbove(
  context: S3Context,
  path: StorePath,
  { parents, careful, signal }: TargetOptions,
): Promise<readonly StorePath[]> {
  const parent = parentOf(path)
  if (parent === rootPath) return []
  const hasMarker = async (): Promise<boolean> => {
    for (const key of twinsOf(directoryKey(parent)))
      if ((await context.service.head(key, signal)) !== undefined) return true
    return false
  }
  if (await (careful === true ? hasMarker() : context.directories.has(parent, hasMarker))) return []
  // From here on something is unusual: all levels are looked at together.
  const above = ancestorsOf(path).filter((ancestor) => ancestor !== rootPath)
  const found = await Promise.all(above.map((ancestor) => find(context, ancestor, signal)))
  const nearest = found.findIndex((each) => each !== undefined)
  const [at, there] = [above[nearest], found[nearest]]
  if (at !== undefined && there?.kind === 'file') throw notDirectory(at)
  if (nearest === 0) return []
  if (parents !== true) throw noParent(parent)
  return above.slice(0, nearest === -1 ? above.length : nearest).reverse()
}

/** Awaits both, so that no failure goes unheard; the first one's failure counts first. */
async function both<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [a, b] = await Promise.allSettled([first, second])
  if (a.status === 'rejected') throw a.reason
  if (b.status === 'rejected') throw b.reason
  return [a.value, b.value]
}

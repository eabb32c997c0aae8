import { Failure, isFailure } from '../core/failure.js'
import { rootPath, toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
import { parseS3Url } from '../store/s3/settings.js'
import type { S3Defaults, S3Settings } from '../store/s3/settings.js'
import { mountDirectory } from './privsep-settings.js'
import type { Settings } from './schema.js'

/** One store of the tree, understood. */
export type MountSetting = LocalMount | S3Mount

interface Mount {
  readonly path: StorePath
  readonly readOnly: boolean
  readonly maxFileBytes?: number | undefined
}

export interface LocalMount extends Mount {
  readonly kind: 'local'
  /** Absolute; one for each Unix user where it has `{user}` or begins with `{home}`. */
  readonly directory: string
  /** Served by a process of the user who asks (docs/privsep.md). */
  readonly separated: boolean
  readonly durability: 'full' | 'fast'
  readonly symlinks: 'absent' | 'inside'
}

export interface S3Mount extends Mount {
  readonly kind: 's3'
  /** Of `s3://BUCKET/PREFIX?options`, as it was written; may hold secrets. */
  readonly url: string
  readonly selfTest: boolean
}

/** Where a setting was written, for messages and relative paths. */
export interface MountOrigins {
  /** Where `root` was set; undefined where it is the default. */
  readonly root: string | undefined
  /** Before a message about one mount. */
  describe(index: number): string
  readonly directory: string
  readonly environment: Readonly<Record<string, string | undefined>>
}

/** The stores of the tree: those of `mounts`, else the root alone, whose settings hold where a mount has none. Throws `invalid`. */
export function mountSettings(
  mounts: Settings['mounts'],
  root: Pick<LocalMount, 'directory' | 'separated' | 'durability' | 'symlinks'>,
  origins: MountOrigins,
): readonly MountSetting[] {
  const { directory, separated, durability, symlinks } = root
  if (mounts === undefined)
    return [{ kind: 'local', path: rootPath, directory, separated, readOnly: false, durability, symlinks }]
  if (origins.root !== undefined)
    throw new Failure('invalid', `${origins.root} is not read where mounts are set: make it the mount at /.`)
  const found = new Set<StorePath>()
  return mounts.map((mount, index): MountSetting => {
    const path = toPath(mount.path)
    if (found.has(path)) throw new Failure('invalid', `${origins.describe(index)} another store is mounted at ${path}`)
    found.add(path)
    const { readOnly, maxFileBytes, selfTest } = mount
    const shared = { path, readOnly, ...(maxFileBytes !== undefined && { maxFileBytes }) }
    if (mount.s3 !== undefined) {
      checkS3Url(mount.s3, index, origins)
      return { kind: 's3', ...shared, url: mount.s3, selfTest }
    }
    if (mount.privsep === true && !separated)
      throw new Failure(
        'invalid',
        `${origins.describe(index)} privsep is off: start the server with --privsep as root, or set privsep: true for all`,
      )
    return {
      kind: 'local',
      ...shared,
      directory: mountDirectory(mount.local ?? '', origins.directory),
      separated: mount.privsep ?? separated,
      durability: mount.durability ?? durability,
      symlinks: mount.symlinks ?? symlinks,
    }
  })
}

/** What the environment says of S3 where a URL does not, by the names that AWS tools use. */
export function s3Defaults(environment: Readonly<Record<string, string | undefined>>): S3Defaults {
  const region = environment['AWS_REGION'] ?? environment['AWS_DEFAULT_REGION']
  const endpoint =
    environment['AWS_ENDPOINT_URL_S3'] ?? environment['AWS_ENDPOINT_URL'] ?? environment['S3_ENDPOINT_URL']
  return { ...(region !== undefined && { region }), ...(endpoint !== undefined && { endpoint }) }
}

/** Where the objects of a mount are. Throws `invalid`. */
export function s3SettingsOf(
  { url }: Pick<S3Mount, 'url'>,
  environment: Readonly<Record<string, string | undefined>>,
): S3Settings {
  return parseS3Url(url, s3Defaults(environment))
}

function checkS3Url(url: string, index: number, origins: MountOrigins): void {
  try {
    s3SettingsOf({ url }, origins.environment)
  } catch (error) {
    throw isFailure(error, 'invalid') ? new Failure('invalid', `${origins.describe(index)} ${error.message}`) : error
  }
}

/** For people: `/srv/files`, or `/ = /srv/files, /archive = s3://bucket/prefix`; without secrets. */
export function shownMounts(mounts: readonly MountSetting[]): string {
  const [only, ...others] = mounts
  if (only !== undefined && others.length === 0 && only.path === rootPath) return shownPlace(only)
  return mounts.map((mount) => `${mount.path} = ${shownPlace(mount)}`).join(', ')
}

function shownPlace(mount: MountSetting): string {
  return mount.kind === 'local' ? mount.directory : (mount.url.split('?')[0] ?? '')
}

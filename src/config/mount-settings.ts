import { resolve } from 'node:path'
import { Failure } from '../core/failure.js'
import { rootPath, toPath } from '../core/path.js'
import type { StorePath } from '../core/path.js'
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
  /** Absolute. */
  readonly directory: string
  readonly durability: 'full' | 'fast'
  readonly symlinks: 'absent' | 'inside'
}

export interface S3Mount extends Mount {
  readonly kind: 's3'
  /** `s3://BUCKET/PREFIX?options`; may hold secrets. */
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
}

/** The stores of the tree: those of `mounts`, else the root alone, whose settings hold where a mount has none. Throws `invalid`. */
export function mountSettings(
  mounts: Settings['mounts'],
  root: Pick<LocalMount, 'directory' | 'durability' | 'symlinks'>,
  origins: MountOrigins,
): readonly MountSetting[] {
  const { directory, durability, symlinks } = root
  if (mounts === undefined) return [{ kind: 'local', path: rootPath, directory, readOnly: false, durability, symlinks }]
  if (origins.root !== undefined)
    throw new Failure('invalid', `${origins.root} is not read where mounts are set: make it the mount at /.`)
  const found = new Set<StorePath>()
  return mounts.map((mount, index): MountSetting => {
    const path = toPath(mount.path)
    if (found.has(path)) throw new Failure('invalid', `${origins.describe(index)} another store is mounted at ${path}`)
    found.add(path)
    const { readOnly, maxFileBytes, selfTest } = mount
    const shared = { path, readOnly, ...(maxFileBytes !== undefined && { maxFileBytes }) }
    if (mount.s3 !== undefined) return { kind: 's3', ...shared, url: mount.s3, selfTest }
    return {
      kind: 'local',
      ...shared,
      directory: resolve(origins.directory, mount.local ?? ''),
      durability: mount.durability ?? durability,
      symlinks: mount.symlinks ?? symlinks,
    }
  })
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

import { statSync } from 'node:fs'
import type { Logger } from 'pino'
import type { Catalog } from '../catalog/catalog.js'
import { directoryChanges } from '../catalog/directory-changes.js'
import { catalogTurns } from '../catalog/turns.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { rootPath } from '../core/path.js'
import { limited } from '../store/limited.js'
import { openLocalStore } from '../store/local.js'
import { openMemoryStore } from '../store/memory.js'
import { mountStores } from '../store/mounts.js'
import type { MountedStore } from '../store/mounts.js'
import type { Store } from '../store/store.js'
import { catalogNotes } from './catalog-notes.js'
import { environmentCredentials } from './environment-credentials.js'
import { readEnvironment } from './environment.js'
import { s3SettingsOf } from './mount-settings.js'
import type { LocalMount, MountSetting, S3Mount } from './mount-settings.js'
import { makeDirectory } from './state.js'

/** The stores of one process, as one tree. */
export interface OpenedStores {
  readonly store: Store
  /** The same one by one. */
  readonly mounted: readonly MountedStore[]
  /** Removes what crashed processes left behind; gives how many there were. */
  sweep(): Promise<number>
  /** What must be done now and again: every store has its turn. */
  keepUp(signal?: AbortSignal): Promise<KeptUp>
  close(): Promise<void>
}

export interface StoreNeeds {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: Logger
  /** Whether this process sweeps local stores in the background. */
  readonly sweeps: boolean
  readonly onSweep: (count: number) => void
}

/** How many leftovers of crashes are gone, and what could not be tidied, with the reason. */
export interface KeptUp {
  readonly count: number
  readonly left: readonly string[]
}

/** One store, and how to tidy it. */
interface Opened {
  readonly store: Store
  /** At the start, where something may have crashed. */
  readonly sweep?: () => Promise<number>
  /** Now and again. */
  readonly keepUp?: (signal: AbortSignal | undefined) => Promise<number>
}

/** Opens all of them or none. Throws what `openLocalStore`, `openS3Service` and `mountStores` throw. */
export async function openStores(mounts: readonly MountSetting[], needs: StoreNeeds): Promise<OpenedStores> {
  const opened: (Opened & { readonly setting: MountSetting })[] = []
  const closeAll = async (): Promise<void> => {
    for (const { store } of opened) await store.close()
  }
  try {
    for (const setting of mounts)
      opened.push({ setting, ...(setting.kind === 'local' ? await openLocal(setting, needs) : await openS3(setting, needs)) }) // prettier-ignore
    const mounted: MountedStore[] = opened.map(({ store, setting: { path, readOnly, maxFileBytes } }) => ({
      path,
      store: limited(store, { readOnly, ...(maxFileBytes !== undefined && { maxFileBytes }) }),
    }))
    const sum = async (counts: readonly ((() => Promise<number>) | undefined)[]): Promise<number> => {
      let total = 0
      for (const count of counts) total += (await count?.()) ?? 0
      return total
    }
    return {
      store: treeOf(mounted),
      mounted,
      sweep: () => sum(opened.map(({ sweep }) => sweep)),
      async keepUp(signal) {
        let count = 0
        const left: string[] = []
        for (const { keepUp, setting } of opened) {
          signal?.throwIfAborted()
          try {
            count += (await keepUp?.(signal)) ?? 0
          } catch (error) {
            left.push(`the store at ${setting.path}: ${error instanceof Error ? error.message : String(error)}`)
          }
        }
        return { count, left }
      },
      close: closeAll,
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

/** Several stores as one tree, in which the root has nothing but the mounts where none is there. */
export function treeOf(mounted: readonly MountedStore[]): Store {
  if (mounted.some(({ path }) => path === rootPath)) return mountStores(mounted)
  return mountStores([...mounted, { path: rootPath, store: limited(openMemoryStore(), { readOnly: true }) }])
}

async function openLocal(mount: LocalMount, { catalog, sweeps, onSweep }: StoreNeeds): Promise<Opened> {
  const { directory, durability, symlinks } = mount
  makeRoot(directory)
  const notes = catalogNotes(catalog)
  const store = await openLocalStore({ root: directory, durability, symlinks, notes, sweeps, onSweep })
  return { store, sweep: () => store.sweep() }
}

async function openS3(mount: S3Mount, { catalog, clock, log }: StoreNeeds): Promise<Opened> {
  const { openS3Service } = await import('../store/s3/http-service.js')
  const { openS3Store } = await import('../store/s3.js')
  const settings = s3SettingsOf(mount, readEnvironment())
  const credentials = environmentCredentials(readEnvironment(), settings.credentials)
  const service = await openS3Service({
    settings,
    selfTest: mount.selfTest,
    log: (line) => log.info(line),
    ...(credentials && { credentials }),
  })
  try {
    // Everything beside the keys that two mounts could have in common.
    const place = `${settings.endpoint.host}/${settings.bucket}/${settings.prefix}`
    const store = await openS3Store({
      service,
      turns: catalogTurns(catalog, clock, place),
      changes: directoryChanges(catalog, place),
    })
    const keepUp = async (signal: AbortSignal | undefined): Promise<number> => {
      const { uploads, tests, moves } = await store.sweep({ ...(signal && { signal }) })
      return uploads + tests + moves
    }
    return { store, keepUp }
  } catch (error) {
    await service.close()
    throw error
  }
}

/** Throws `not-directory` where something else has the name of a directory that is to be served; it need not be there. */
export function checkRoot(root: string): void {
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new Failure('not-directory', `The root ${root} is not a directory. Name one: postern serve DIR.`)
}

function makeRoot(root: string): void {
  if (statSync(root, { throwIfNoEntry: false }) === undefined)
    makeDirectory(root, 'root', 'Name another directory: postern serve DIR.')
}

import type { LocalMount, MountSetting } from './mount-settings.js'

/** A mount that processes of users serve, with its number there. */
export interface Separated {
  readonly number: number
  readonly mount: LocalMount
}

/** All of them, in the order in which those processes know them. */
export function separatedMounts(mounts: readonly MountSetting[]): readonly Separated[] {
  return mounts
    .filter((mount): mount is LocalMount => mount.kind === 'local' && mount.separated)
    .map((mount, number) => ({ number, mount }))
}

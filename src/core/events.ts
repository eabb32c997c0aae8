import type { StorePath } from './path.js'

/** Something that was done to the files, after it was done. */
export interface Change {
  /**
   * `created` and `changed`: what now lies at `path`, with all below it where it is a directory that was copied there.
   * `moved`: from `from`, with all below it. `removed`: with all below it.
   */
  readonly kind: 'created' | 'changed' | 'removed' | 'moved'
  readonly path: StorePath
  /** Where it was before it was moved. */
  readonly from?: StorePath
  /** Left out where it is gone. */
  readonly type?: 'file' | 'directory'
  /** Bytes of a file. */
  readonly size?: number
  /** Of a file, without quotes. */
  readonly etag?: string
  /** The principal who did it. */
  readonly by: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Takes changes. Never throws, and nobody waits for it. */
export type Report = (change: Change) => void

import type { S3Service } from './service.js'
import type { Turns } from './turns.js'
import type { PartBuffers } from './part-buffers.js'

/** What all parts of an S3 store share. */
export interface S3Context {
  readonly service: S3Service
  /** For services that judge no conditions; used then for every change of a key. */
  readonly turns: Turns
  /** The room in memory for bytes on their way. */
  readonly buffers: PartBuffers
}

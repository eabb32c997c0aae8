import type { LiveFile } from '../../auth/directory/live-file.js'
import { Failure, isFailure } from '../../core/failure.js'

/** Throws `invalid` that begins with `what` where a file cannot be used from the start; later it is a source that is down. */
export async function usable(file: LiveFile<object>, what: string): Promise<void> {
  try {
    await file.facts()
  } catch (error) {
    if (!isFailure(error, 'unavailable')) throw error
    const why = error.cause instanceof Error ? error.cause.message : 'it cannot be read'
    throw new Failure('invalid', `${what}: ${why}`, { cause: error })
  }
}

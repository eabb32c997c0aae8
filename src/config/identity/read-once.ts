import { liveFile } from '../../auth/directory/live-file.js'
import type { LiveFileOptions } from '../../auth/directory/live-file.js'

/** What a file of identities says at this moment. Throws `unavailable` where it cannot be used. */
export function readOnce<Facts extends object>(options: Omit<LiveFileOptions<Facts>, 'warn'>): Promise<Facts> {
  return liveFile({ ...options, warn: () => undefined }).facts()
}

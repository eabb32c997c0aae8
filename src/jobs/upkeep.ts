import { expireUploads } from '../catalog/expire-uploads.js'
import type { Catalog } from '../catalog/catalog.js'
import { anyMoves } from '../catalog/moves.js'
import type { UploadNeeds } from '../catalog/upload-state.js'
import type { Job, JobReport } from './job.js'

const hourSeconds = 3600
const daySeconds = 24 * hourSeconds

/** `uploads`: gives up uploads in parts that nobody has gone on with for so many days, and removes what they have left. */
export function uploadsJob(needs: UploadNeeds, uploadDays: number): Job {
  return {
    name: 'uploads',
    everySeconds: hourSeconds,
    async run(signal) {
      const { uploads, rooms, left } = await expireUploads(needs, uploadDays * daySeconds * 1000, { signal })
      return { counts: { uploads, rooms }, left }
    },
  }
}

/** `moves`: finishes the moves of processes that died between the files and the catalog. */
export function movesJob(catalog: Catalog, mend: (signal: AbortSignal) => Promise<number>): Job {
  return {
    name: 'moves',
    everySeconds: 60,
    wanted: () => anyMoves(catalog),
    async run(signal) {
      return { counts: { moves: await mend(signal) } }
    },
  }
}

/** `users`: where each caller acts as a Unix user, the same two for those who are at work. */
export function usersJob(tidy: () => Promise<void>): Job {
  return {
    name: 'users',
    everySeconds: hourSeconds,
    async run() {
      await tidy()
      return { counts: {} }
    },
  }
}

/** What stores can do to tidy themselves. */
export interface TidyStores {
  keepUp(signal?: AbortSignal): Promise<{ readonly count: number; readonly left: readonly string[] }>
  sweep(): Promise<number>
}

/** `stores`: removes from buckets what killed processes have left there. */
export function storesJob(stores: TidyStores): Job {
  return {
    name: 'stores',
    everySeconds: hourSeconds,
    async run(signal): Promise<JobReport> {
      const { count, left } = await stores.keepUp(signal)
      return { counts: { removed: count }, left }
    },
  }
}

/** `leftovers`: removes from the disks of this host what killed processes have left there. */
export function leftoversJob(stores: TidyStores): Job {
  return {
    name: 'leftovers',
    everySeconds: daySeconds,
    limitSeconds: 6 * hourSeconds,
    perHost: true,
    async run() {
      return { counts: { removed: await stores.sweep() } }
    },
  }
}

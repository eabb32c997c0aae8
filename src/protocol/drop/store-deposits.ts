import { Failure } from '../../core/failure.js'
import { toPath } from '../../core/path.js'
import type { StorePath } from '../../core/path.js'
import type { Store } from '../../store/store.js'
import { promiseHeaders } from './deposits.js'
import type { Deposits } from './deposits.js'

/** Drops as files of a folder, which is made where it is missing. The store is the sender's own: guarded, so that it could do nothing but create. */
export function storeDeposits(store: Store, folder: StorePath): Deposits {
  const pathOf = (name: string): StorePath => toPath(`${folder === '/' ? '' : folder}/${name}`)
  return {
    keyOf: (name) => pathOf(name).slice(1),
    put: async (name, body, { type, signal }) => {
      const path = pathOf(name)
      let sha256: Uint8Array | undefined
      const { entry } = await store.write(path, body, {
        ifNoneMatch: '*',
        parents: true,
        digests: ['sha256'],
        beforeCommit: async (staged) => {
          sha256 = staged.digests.sha256
        },
        signal,
        ...(type !== undefined && { attributes: { 'content-type': type } }),
      })
      if (sha256 === undefined) throw new Failure('unavailable', 'The storage has computed no checksum.')
      return { key: path.slice(1), size: entry.size, sha256 }
    },
    presign:
      store.presign &&
      (async (name, { expiresSeconds, ...promise }) => {
        const path = pathOf(name)
        const headers = promiseHeaders(promise)
        const url = await store.presign?.({ method: 'PUT', path, headers, expiresSeconds })
        if (url === undefined) throw new Failure('unsupported', 'The storage gives no URLs.')
        return { key: path.slice(1), url, headers }
      }),
  }
}

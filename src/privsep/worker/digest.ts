import type { LocalStore } from '../../store/local.js'
import { decodeDigestNames, encodeDigests } from '../digests.js'
import type { Table } from '../wire/link.js'
import { countIn, malformed, pathIn } from '../write-head.js'

/** Digests are computed here: the reading and the reckoning are on whoever owns the file. */
export function digestTable(stores: readonly LocalStore[]): Table {
  return {
    digest: {
      maxBytes: 64 * 1024,
      async handle({ head, signal }) {
        const store = stores[countIn(head, 'mount')]
        const names = decodeDigestNames(head.digests)
        if (store === undefined || names === undefined) throw malformed()
        return { head: { digests: encodeDigests(await store.digest(pathIn(head, 'path'), names, signal)) } }
      },
    },
  }
}

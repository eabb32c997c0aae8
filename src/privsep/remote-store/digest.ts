import type { StorePath } from '../../core/path.js'
import { throwIfAborted } from '../../store/aborted.js'
import type { DigestName, Digests, Store } from '../../store/store.js'
import { decodeDigests } from '../digests.js'
import { askPlainly, type RemoteMount } from './peer.js'

/** `Store.digest`: those not known yet are computed by the process of the user. `stat` is that of the same store. */
export async function digestRemote(
  mount: RemoteMount,
  stat: Store['stat'],
  path: StorePath,
  names: readonly DigestName[],
  signal?: AbortSignal,
): Promise<Digests> {
  throwIfAborted(signal)
  const before = await stat(path, signal)
  const known = before?.digests ?? {}
  const missing = names.filter((name) => known[name] === undefined)
  if (before?.kind === 'file' && missing.length === 0) return known
  const peer = await mount.connect()
  const { head } = await askPlainly(peer, 'digest', { mount: mount.mount, path, digests: missing }, { signal })
  const computed = decodeDigests(head.digests)
  if (computed === undefined || missing.some((name) => computed[name] === undefined))
    throw peer.distrust('digests that are none')
  const after = await stat(path, signal)
  return after !== undefined && after.etag === before?.etag ? { ...known, ...computed } : computed
}

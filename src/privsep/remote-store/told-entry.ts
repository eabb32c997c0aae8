import type { StorePath } from '../../core/path.js'
import { entryOfKnown } from '../../store/local/facts.js'
import { directoryKind, fileKind } from '../../store/native.js'
import type { Entry, Written } from '../../store/store.js'
import { decodeKnown } from '../known.js'
import type { Head } from '../wire/link.js'
import type { KnownEntry } from './notes.js'
import type { Peer, RemoteMount } from './peer.js'

/** The entry that an answer tells of, without what is noted of it: path and etag are made here. Throws what `distrust` gives. */
export function entryTold(peer: Peer, path: StorePath, told: unknown, kind?: Entry['kind']): KnownEntry {
  const known = decodeKnown(told)
  if (known === undefined) throw peer.distrust('an entry that is none')
  const wanted = kind === undefined ? known.kind : kind === 'file' ? fileKind : directoryKind
  if (known.kind !== wanted) throw peer.distrust(`another kind of entry than a ${kind}`)
  return { entry: entryOfKnown(path, known), known }
}

/** The same with what is noted. */
export async function entryNoted({ notes }: RemoteMount, told: KnownEntry): Promise<Entry> {
  return notes.glance(told) ?? (await notes.noted([told]))[0] ?? told.entry
}

export async function writtenTold(mount: RemoteMount, peer: Peer, path: StorePath, head: Head): Promise<Written> {
  if (typeof head.created !== 'boolean') throw peer.distrust('a file that was neither made nor replaced')
  return { entry: await entryNoted(mount, entryTold(peer, path, head.known)), created: head.created }
}

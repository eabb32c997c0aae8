import type { WorkerSettings } from '../settings.js'
import type { Link, LinkEnd, Table } from '../wire/link.js'
import { Changer } from './changing.js'
import { digestTable } from './digest.js'
import { TicketGate } from './gate.js'
import { Lister } from './listing.js'
import { WorkerMounts } from './mounts.js'
import { partsTable } from './parts.js'
import { Reader } from './reading.js'
import { Writer } from './write.js'

export interface Surroundings {
  /** Opens the link on which this answers. */
  readonly connect: (table: Table) => Link
  /** Whether an open file may go along with an answer; undefined where none can. */
  readonly mayPass: ((fd: number) => boolean) | undefined
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Serves the files of a user until the link ends, and puts everything in order then. */
export async function serveWorker(settings: WorkerSettings, { connect, mayPass, now }: Surroundings): Promise<LinkEnd> {
  const { uid, generation } = settings
  const gate = new TicketGate({ key: Buffer.from(settings.key, 'base64'), uid, generation, now })
  const mounts = new WorkerMounts(settings, (name, head) => link.ask(name, head))
  const { stores } = mounts
  let takes = false
  const passing = (fd: number): boolean => takes && mayPass !== undefined && mayPass(fd)
  const reader = new Reader({ stores, mayPass: passing })
  const lister = new Lister(stores)
  const changer = new Changer(stores)
  const writer = new Writer({ stores, ask: (name, head) => link.ask(name, head), mayPass: passing })
  const beginning: Table = {
    ...reader.beginning,
    ...lister.beginning,
    ...changer.beginning,
    ...writer.beginning,
    ...partsTable(stores),
    ...digestTable(stores),
  }
  const link: Link = connect({
    ...gate.guard(beginning, mounts.ready),
    ...reader.goingOn,
    ...lister.goingOn,
    ...changer.goingOn,
    ...writer.goingOn,
    ping: { maxBytes: 1024, handle: () => ({}) },
    ticket: {
      maxBytes: 4096,
      handle: ({ head }) => {
        gate.show(head.ticket)
        // The other side can take open files, or has no way for them.
        takes = head.passes === true
        return {}
      },
    },
  })
  const end = await link.closed
  changer.close()
  reader.close()
  await Promise.all([lister.close(), writer.close()])
  await mounts.close()
  return end
}

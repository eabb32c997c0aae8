import { chmodSync, chownSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { Failure } from '../../core/failure.js'
import { openLink } from '../wire/link.js'
import type { Link, Table } from '../wire/link.js'
import type { BrokerLog } from './options.js'

export interface DoorOptions {
  /** Of a socket in a folder where nobody else can put one. */
  readonly path: string
  /** Who alone may connect, besides root. */
  readonly owner: { readonly uid: number; readonly gid: number }
  /** More are turned away. */
  readonly mostLinks: number
  /** Whoever has connected: what it may ask. `broken` closes its link for a rule that it has broken. */
  readonly greet: (broken: (why: string) => void) => Guest
  readonly log: BrokerLog
}

/** One that has connected. */
export interface Guest {
  readonly table: Table
  /** Told once, with the link over which it can be asked. */
  readonly onOpen?: (link: Link) => void
  /** `why` where it has broken a rule. */
  readonly onClose: (why: string | undefined) => void
}

export interface Door {
  close(): Promise<void>
}

/** Worked on at once for one guest; more wait unread. */
const maxAtOnce = 32
/** No honest process asks so often. */
const maxPerSecond = 2000
const maxAnswerBytes = 256 * 1024

/** Listens for links on a path. Rejects with `unavailable` where that cannot be done. */
export function openDoor({ path, owner, mostLinks, greet, log }: DoorOptions): Promise<Door> {
  const links = new Set<Link>()
  const welcome = (socket: Socket): void => {
    if (links.size >= mostLinks) {
      log.warn({ path, links: links.size }, 'too many connections to the broker')
      socket.destroy()
      return
    }
    let rule: string | undefined
    const guest = greet((why) => {
      rule ??= why
      link.close()
    })
    const onFault = (err: unknown, name: string): void =>
      log.error({ err, name, path }, 'a request to the broker failed')
    const link = openLink(socket, { table: guest.table, maxAnswerBytes, maxAtOnce, maxPerSecond, onFault })
    links.add(link)
    guest.onOpen?.(link)
    void link.closed.then(({ how, why }) => {
      links.delete(link)
      guest.onClose(rule ?? (how === 'violation' ? why : undefined))
    })
  }
  const server = createServer(welcome)
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(new Failure('unavailable', `The broker cannot listen at ${path}.`, { cause })),
    )
    server.listen(path, () => {
      // Until here only root could connect.
      chownSync(path, owner.uid, owner.gid)
      chmodSync(path, 0o600)
      server.on('error', (err) => log.error({ err, path }, 'the broker cannot take a connection'))
      resolve({
        close() {
          for (const link of links) link.close()
          return new Promise((closed) => server.close(() => closed()))
        },
      })
    })
  })
}

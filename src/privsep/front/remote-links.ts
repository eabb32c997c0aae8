import type { Links, OpenedLink } from '../../auth/links.js'
import { isWithin, toPath } from '../../core/path.js'
import { sentRequest } from '../sent-request.js'
import type { Link } from '../wire/link.js'
import { admitted } from './admitted.js'
import { patience } from './patience.js'
import type { TicketBook } from './ticket-book.js'

export interface RemoteLinksOptions {
  /** To the process that has the secrets of links. */
  readonly door: Pick<Link, 'ask'>
  /** Gets the ticket that comes with each link that is right. */
  readonly book: TicketBook
  /** Where links lie, as the door says: of what lies elsewhere it is not asked. */
  readonly below: readonly string[]
}

/** The links of all sources, which are in another process. */
export function remoteLinks({ door, book, below: paths }: RemoteLinksOptions): Links {
  const below = paths.map(toPath)
  return {
    below,
    async open(request, target) {
      if (!below.some((one) => isWithin(target.path, one))) return undefined
      const { head } = await door.ask('link', { request: sentRequest(request) }, patience)
      if (head.target === undefined) return undefined
      const { identity } = admitted(head, book)
      // Whoever knows all callers is to be believed.
      const opened = head as unknown as { readonly linkUntil: number; readonly target: OpenedLink['target'] }
      return { identity, target: opened.target, until: opened.linkUntil }
    },
  }
}

import { parseTarget, withoutBase } from '../../core/path.js'
import { mostRequestBytes, readSentRequest } from '../sent-request.js'
import type { Table } from '../wire/link.js'
import type { Knowledge } from './knowledge.js'
import { proofAnswer } from './proof-answer.js'
import type { Tickets } from './tickets.js'

/**
 * `link {request}`: what a link opens that somebody has signed for others, and as whom, with a ticket that does not outlive
 * the link; nothing where the request is under no link. Throws what `Links` throws.
 */
export function linksPart(known: Pick<Knowledge, 'links' | 'basePath' | 'noteLogin'>, tickets: Tickets): Table {
  return {
    link: {
      maxBytes: mostRequestBytes,
      handle: async ({ head }) => {
        const request = readSentRequest(head)
        const target = withoutBase(parseTarget(request.target), known.basePath)
        for (const links of known.links) {
          const opened = await links.open(request, target)
          if (opened === undefined) continue
          const answer = await proofAnswer(opened, request, known, tickets)
          return { head: { ...answer, linkUntil: opened.until, target: { ...opened.target } } }
        }
        return { head: {} }
      },
    },
  }
}

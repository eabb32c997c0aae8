import type { SentForm } from '../../auth/sigv4/judge.js'
import { mostChainBytes, readSentChain } from '../sent-chain.js'
import { misshapen, mostRequestBytes, readSentRequest } from '../sent-request.js'
import type { Head, Table } from '../wire/link.js'
import type { Knowledge } from './knowledge.js'
import { proofAnswer } from './proof-answer.js'
import type { Tickets } from './tickets.js'

/** Fields of a form, at most 20 KiB of them, however they are escaped. */
const mostFormBytes = 128 * 1024

/**
 * What the door does for AWS Signature Version 4. Everything is judged here, by the clock that is here, over the request as
 * its client has sent it: a front learns whether a signature is right that it has seen, and never what one would be.
 *
 * `verify {request}`: who signed it, by header or URL; `{form: true}` for a form, `{by: 'nobody'}` with whoever may come
 * without. `verify-form {request, bucket, fileName, fields}`: who signed its policy, and which size it allows. Both with a
 * ticket that does not outlive the proof. `verify-chunks {accessKeyId, day, region, date, previous, trailers}` with a hash
 * and a signature for each link of the chain: `{wrong}`, the index of the first that is wrong. It says nothing of who anybody is.
 */
export function signaturesPart(known: Pick<Knowledge, 'judge' | 'noteLogin'>, tickets: Tickets): Table {
  const { judge } = known
  return {
    verify: {
      maxBytes: mostRequestBytes,
      handle: async ({ head }) => {
        const request = readSentRequest(head)
        const judged = await judge.head(request)
        if (judged === undefined) return { head: { form: true } }
        const { proof } = judged
        return { head: { ...(await proofAnswer(judged, request, known, tickets)), by: proof.by } }
      },
    },
    'verify-form': {
      maxBytes: mostRequestBytes + mostFormBytes,
      handle: async ({ head }) => {
        const request = readSentRequest(head)
        const judged = await judge.form(formIn(head), request)
        const { signed, size } = judged
        const most = size.most === Infinity ? undefined : size.most
        return { head: { ...(await proofAnswer(judged, request, known, tickets)), signed, least: size.least, most } }
      },
    },
    'verify-chunks': {
      maxBytes: mostChainBytes,
      handle: async (asked) => {
        const chain = readSentChain(asked)
        const wrong = await judge.wrongLink(chain)
        return { head: wrong === undefined ? {} : { wrong: chain.links.indexOf(wrong) } }
      },
    },
  }
}

function formIn({ bucket, fileName, fields }: Head): SentForm {
  if (typeof bucket !== 'string' || typeof fileName !== 'string' || !Array.isArray(fields)) throw misshapen()
  const found = new Map<string, string>()
  for (const field of fields as readonly unknown[]) {
    if (!Array.isArray(field)) throw misshapen()
    const [name, value, ...more] = field as readonly unknown[]
    if (typeof name !== 'string' || typeof value !== 'string' || more.length > 0 || found.has(name)) throw misshapen()
    found.set(name, value)
  }
  return { bucket, fileName, fields: found }
}

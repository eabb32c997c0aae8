import { signatureText, type ChainLink } from '../auth/sigv4/chunk-signatures.js'
import type { Claim } from '../auth/sigv4/claim.js'
import type { SentChain } from '../auth/sigv4/keyed-judge.js'
import { misshapen, textIn } from './sent-request.js'
import type { Asked, Head } from './wire/link.js'

/** Whose chain it is. */
export type ChainClaim = Pick<Claim, 'accessKeyId' | 'day' | 'region' | 'date'>

/** Links of a chain that one question may be about. */
export const mostLinks = 512

/** Hex digits of a hash, and of a signature. */
const digits = 64

/** A hash and a signature. */
const linkBytes = digits

/** Of a whole question. */
export const mostChainBytes = 2048 + mostLinks * linkBytes

/** Links that follow each other, the trailers last, as plain data and bytes. */
export function sentChain(
  { accessKeyId, day, region, date }: ChainClaim,
  links: readonly ChainLink[],
): { readonly head: Head; readonly bytes: Buffer } {
  const previous = links[0]?.previous
  const trailers = links.at(-1)?.kind === 'trailers'
  const bytes = Buffer.from(links.map(({ hash, claimed }) => hash + claimed).join(''), 'hex')
  return { head: { accessKeyId, day, region, date, previous, trailers }, bytes }
}

/** Links of a chain as another process tells of them, which may say anything. Throws `invalid` where they are none. */
export function readSentChain({ head, bytes }: Pick<Asked, 'head' | 'bytes'>): SentChain {
  const { accessKeyId, day, region, date, previous: first, trailers } = head
  const count = bytes.length / linkBytes
  if (typeof trailers !== 'boolean' || !Number.isInteger(count) || count < 1 || count > mostLinks) throw misshapen()
  const links: ChainLink[] = []
  const text = bytes.toString('hex')
  let previous = textIn(first, signatureText)
  for (let at = 0; at < text.length; at += 2 * digits) {
    const hash = text.slice(at, at + digits)
    const claimed = text.slice(at + digits, at + 2 * digits)
    links.push({ kind: trailers && links.length === count - 1 ? 'trailers' : 'chunk', previous, hash, claimed })
    previous = claimed
  }
  return {
    accessKeyId: textIn(accessKeyId, /^[!-~]{1,128}$/),
    day: textIn(day, /^\d{8}$/),
    region: textIn(region, /^[A-Za-z0-9._-]{1,253}$/),
    date: textIn(date, /^\d{8}T\d{6}Z$/),
    links,
  }
}

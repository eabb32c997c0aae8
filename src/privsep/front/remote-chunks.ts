import {
  signatureText,
  trailersHash,
  wrongLink,
  type ChainLink,
  type ChunkSignatures,
} from '../../auth/sigv4/chunk-signatures.js'
import { Failure } from '../../core/failure.js'
import { mostLinks, sentChain, type ChainClaim } from '../sent-chain.js'
import type { Link } from '../wire/link.js'
import { patience } from './patience.js'

/**
 * A chain of signatures whose key is in another process. Links are asked about while the body is read on: one question at a
 * time, with all that have come since the one before.
 */
export class RemoteChunkSignatures implements ChunkSignatures {
  readonly #door: Pick<Link, 'ask'>
  readonly #claim: ChainClaim
  readonly #waiting: ChainLink[] = []
  #previous: string
  #asked = 0
  #asking: Promise<void> | undefined
  #failure: Error | undefined

  /** @param claim of the request, whose signature holds and is where the chain begins */
  constructor(door: Pick<Link, 'ask'>, claim: ChainClaim & { readonly signature: string }) {
    this.#door = door
    this.#claim = claim
    this.#previous = claim.signature
  }

  chunk(contentHash: string, claimed: string): void {
    this.#add('chunk', contentHash, claimed)
  }

  trailers(canonical: string, claimed: string): void {
    this.#add('trailers', trailersHash(canonical), claimed)
  }

  settled(open: number): Promise<void> | undefined {
    if (this.#failure === undefined && this.#waiting.length + this.#asked <= open) return undefined
    return this.#settle(open)
  }

  async #settle(open: number): Promise<void> {
    while (this.#failure === undefined && this.#waiting.length + this.#asked > open) await this.#asking
    if (this.#failure !== undefined) throw this.#failure
  }

  #add(kind: ChainLink['kind'], hash: string, claimed: string): void {
    if (this.#failure !== undefined) throw this.#failure
    if (!signatureText.test(claimed)) throw (this.#failure = wrongLink(kind))
    this.#waiting.push({ kind, previous: this.#previous, hash, claimed })
    this.#previous = claimed
    this.#asking ??= this.#askAll()
  }

  /** Never rejects. */
  async #askAll(): Promise<void> {
    try {
      while (this.#waiting.length > 0) await this.#ask(this.#waiting.splice(0, mostLinks))
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Failure('unavailable', 'Signatures cannot be checked now.')
    } finally {
      this.#asked = 0
      this.#asking = undefined
    }
  }

  async #ask(links: readonly ChainLink[]): Promise<void> {
    this.#asked = links.length
    const { head, bytes } = sentChain(this.#claim, links)
    const { wrong } = (await this.#door.ask('verify-chunks', head, { bytes, ...patience })).head
    if (wrong !== undefined) throw wrongLink((typeof wrong === 'number' ? links[wrong] : undefined)?.kind ?? 'chunk')
  }
}

import type { HttpRequest } from '../../core/http.js'
import type { LoginEvent } from '../audit.js'
import type { Identity } from '../identity.js'
import { shownName } from '../shown-name.js'

/** So many keys and addresses are known at a time; whoever came first goes first. */
const mostKnown = 10_000

/** Tells of each refusal, and of the first request that a key signs from an address. */
export class LoginNotes {
  readonly #audit: (event: LoginEvent) => void
  readonly #known = new Set<string>()

  constructor(audit: (event: LoginEvent) => void) {
    this.#audit = audit
  }

  entered(accessKeyId: string, identity: Identity, { peer }: Pick<HttpRequest, 'peer'>): void {
    const key = `${peer.address ?? ''}\n${accessKeyId}`
    if (this.#known.has(key)) return
    this.#known.add(key)
    if (this.#known.size > mostKnown) {
      const oldest = this.#known.values().next()
      if (oldest.done !== true) this.#known.delete(oldest.value)
    }
    const name = shownName(identity.name)
    this.#audit({ event: 'login', name, source: identity.source, with: 'signature', ...addressOf(peer) })
  }

  /** After it, the next success is news again. */
  refused(accessKeyId: string, why: string, { peer }: Pick<HttpRequest, 'peer'>): void {
    this.#known.delete(`${peer.address ?? ''}\n${accessKeyId}`)
    this.#audit({ event: 'login-failed', name: shownName(accessKeyId), why, ...addressOf(peer) })
  }
}

function addressOf({ address }: HttpRequest['peer']): { readonly address?: string } {
  return address === undefined ? {} : { address }
}

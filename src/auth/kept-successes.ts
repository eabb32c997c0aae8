import type { KeptValues } from '../catalog/kept-values.js'
import type { Accepted } from './cached.js'
import { credentialText } from './cached.js'
import type { Credential } from './identity.js'

/** A success and when it ends, in milliseconds since the epoch. */
export interface KeptSuccess {
  readonly verdict: Accepted
  readonly expires: number
}

/** Successes that outlive the process. Never throws: what cannot be kept or found is asked for again. */
export interface KeptSuccesses {
  find(credential: Credential): KeptSuccess | undefined
  keep(credential: Credential, success: KeptSuccess): void
  forget(credential: Credential): void
}

/** Keeps successes under their credentials, which the values are not told in any form that could be had back. */
export function keptSuccesses(values: KeptValues): KeptSuccesses {
  return {
    find(credential) {
      const kept = values.find(credentialText(credential))
      // Whoever can seal wrote it.
      return kept && { verdict: JSON.parse(kept.value) as Accepted, expires: kept.expires }
    },
    keep(credential, { verdict, expires }) {
      values.keep(credentialText(credential), { value: JSON.stringify(verdict), expires })
    },
    forget: (credential) => values.forget(credentialText(credential)),
  }
}

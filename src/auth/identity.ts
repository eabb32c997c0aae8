import type { HttpRequest } from '../core/http.js'
import type { StorePath } from '../core/path.js'

/** Plain, serialisable data in and out, so that a directory can live in another process. */

/** What a caller has shown. Secrets in here never reach a log, an error or a URL. */
export type Credential =
  | { readonly kind: 'password'; readonly name: string; readonly password: string }
  | { readonly kind: 'api-key'; readonly id: string; readonly secret: string }
  | { readonly kind: 'bearer'; readonly token: string }

/** A known caller. */
export interface Identity {
  /** As shown in logs and lock owners. */
  readonly name: string
  /** Which source vouches for it: `catalog`, `htpasswd`, …, `anonymous`. Names of different sources are different principals. */
  readonly source: string
  /** Grant texts, `rw:/acme/**`. */
  readonly grants: readonly string[]
  /** The Unix user it acts as under privilege separation. */
  readonly unixUser?: string
  /** As the source names them. */
  readonly groups?: readonly string[]
  /** What it sees as the root: requests name paths below it, grants the whole ones. What its source says without it, at last the root. */
  readonly home?: StorePath
  /** Bytes that may lie below its home; without it as many as there is room for. */
  readonly quotaBytes?: number
}

/** The stable id of a caller: who owns a lock, who is throttled or limited. */
export function principalOf(identity: Identity): string {
  return `${identity.source}:${identity.name}`
}

/** What a directory says of a credential. `refused` ends the search, `unknown` lets the next source try. */
export type Verdict =
  | {
      readonly kind: 'identity'
      readonly identity: Identity
      /** Opaque state of the account; while `Directory.current` agrees, a cached success stays good. */
      readonly stamp?: string
      /** Milliseconds since the epoch, from when on it is no longer true and must not be remembered. */
      readonly until?: number
    }
  | { readonly kind: 'unknown' }
  | {
      readonly kind: 'refused'
      /** For the audit log only: `wrong-password`, `disabled`, … */
      readonly why: string
      /** The values of `WWW-Authenticate` that the source itself asks with, in place of ours. */
      readonly challenges?: readonly string[]
      /** The source says that no login would help: the answer is a no, and does not ask for one. */
      readonly forbidden?: true
    }

/** What else may matter to a decision. */
export interface RequestFacts {
  readonly address?: string
  readonly method: string
  readonly target: string
  /** What the client sees of this server. */
  readonly origin?: HttpRequest['origin']
  /** The `Destination` header of COPY and MOVE, as sent. */
  readonly destination?: string
}

/**
 * A source of identities. `check` throws `unavailable` where the source is down, which is no verdict, and `denied` where
 * it knows the caller and allows this request to nobody like it.
 */
export interface Directory {
  /** As in the configuration: `catalog`, `htpasswd`, … */
  readonly name: string
  readonly accepts: ReadonlySet<Credential['kind']>
  /** What its answers may depend on beside the credential: where the caller is, or anything in the request; nothing without it. */
  readonly dependsOn?: 'address' | 'request'
  check(credential: Credential, facts: RequestFacts): Promise<Verdict>
  /**
   * Whether a verdict given earlier with this stamp still holds, cheaply: this is what makes revocation immediate for
   * accounts that Postern manages. Absent: cached verdicts live until their time is over.
   */
  current?(identity: Identity, stamp: string): Promise<boolean>
  /**
   * The secret that signatures under an access key id are made with (AWS Signature Version 4), and whom it stands for;
   * undefined where this source has no such key or it is revoked. Absent: the source holds no such keys.
   */
  signingKey?(accessKeyId: string): Promise<SigningKey | undefined>
}

/** For the verifier of signatures only: the secret never leaves it. */
export interface SigningKey {
  readonly secret: string
  readonly identity: Identity
}

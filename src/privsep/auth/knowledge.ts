import type { AccountEvent, LoginEvent } from '../../auth/audit.js'
import type { Authenticator } from '../../auth/authenticator.js'
import type { CachedDirectory, CredentialKey } from '../../auth/cached.js'
import type { CredentialCheck } from '../../auth/credential-check.js'
import type { TableUsers } from '../../auth/directory/table-users.js'
import type { Directory } from '../../auth/identity.js'
import type { Links } from '../../auth/links.js'
import type { KeyedJudge } from '../../auth/sigv4/keyed-judge.js'
import type { Clock } from '../../core/clock.js'

/** All that one configuration says of callers, opened: it is nowhere but in the process that answers by it. */
export interface Knowledge {
  /** In the order in which they are asked. */
  readonly directories: readonly (Directory | CachedDirectory)[]
  /** Those whose users Postern may manage. */
  readonly users: readonly TableUsers[]
  /** Those whose callers sign links. */
  readonly links: readonly Links[]
  /** Who signs, with the secrets of these directories. */
  readonly judge: KeyedJudge
  /** Of whole requests, by these directories. */
  readonly authenticator: Pick<Authenticator, 'authenticate'>
  /** Of a credential by itself, by these directories. */
  readonly credentials: CredentialCheck
  /** That of the caches. */
  readonly keyOf: CredentialKey
  readonly clock: Clock
  /** What callers without a credential may do, and as whom; absent: nothing. */
  readonly anonymous?: { readonly grants: readonly string[]; readonly unixUser?: string | undefined }
  readonly basePath: string
  /** Told of logins, for the audit log and the log. */
  readonly noteLogin: (event: LoginEvent) => void
  /** Told who has changed which account. */
  readonly noteAccount: (event: AccountEvent) => void
  close(): Promise<void>
}

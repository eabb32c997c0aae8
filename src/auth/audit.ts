/**
 * What an owner may want to know later of who came in, who was refused and who changed what. Never holds a secret or a
 * hash of one; what clients choose is bounded and free of control characters.
 */
export type AuditEvent = LoginEvent | LimitEvent | AccountEvent

/** Of callers. `name` is what they said of themselves: the name of a user, the id of a key, nothing for a token. */
export type LoginEvent =
  | {
      /** The first request that this process has seen with a credential, not each that is remembered. */
      readonly event: 'login'
      readonly name: string
      readonly source: string
      readonly with: 'password' | 'api-key' | 'bearer' | 'signature'
      readonly address?: string
    }
  | {
      readonly event: 'login-failed' | 'login-throttled'
      readonly name: string
      /** The source that refused; absent where none knew the name. */
      readonly source?: string
      readonly why: string
      readonly address?: string
    }
  | { readonly event: 'source-unavailable'; readonly source: string; readonly cause: unknown }

/** Somebody asked for more than an address or an identity may. */
export interface LimitEvent {
  readonly event: 'rate-limited'
  readonly why: 'address' | 'identity'
  /** The principal, where it is known. */
  readonly name?: string
  readonly address?: string
}

/** A change of what somebody may do. `by` is a principal, or `command:` with the system user who gave a command. */
export type AccountEvent = UserEvent | KeyEvent

export interface UserEvent {
  readonly event: 'user-changed'
  readonly what: 'made' | 'changed' | 'removed'
  /** Of a change. */
  readonly why?: 'password' | 'grants' | 'disabled' | 'enabled' | 'home' | 'quota' | 'unix-user' | 'mail'
  readonly source: string
  readonly realm?: string
  readonly user: string
  readonly grants?: readonly string[]
  readonly by: string
  readonly address?: string
}

export interface KeyEvent {
  readonly event: 'key-changed'
  readonly what: 'issued' | 'imported' | 'rotated' | 'revoked'
  readonly kind: 'key' | 's3-key' | 'token'
  readonly source: string
  readonly id: string
  readonly name: string
  readonly grants?: readonly string[]
  /** As RFC 3339. */
  readonly expires?: string
  /** The id of the one whose place it takes. */
  readonly replaces?: string
  readonly by: string
}

/** Keeps events, one after the other. Never throws: nobody is refused because nothing can be written down. */
export interface Audit {
  write(event: AuditEvent): void
}

const quietMilliseconds = 60_000
const mostRemembered = 10_000

/** Passes events on, but of those that a client can cause without end only one a minute for each name and address. */
export function thinned(audit: Audit, now: () => number): Audit {
  const said = new Map<string, number>()
  return {
    write(event) {
      const key = repeatable(event)
      if (key !== undefined) {
        const at = now()
        const last = said.get(key)
        if (last !== undefined && Math.abs(at - last) < quietMilliseconds) return
        if (said.size >= mostRemembered) said.clear()
        said.set(key, at)
      }
      audit.write(event)
    },
  }
}

function repeatable(event: AuditEvent): string | undefined {
  switch (event.event) {
    case 'login-throttled':
    case 'rate-limited':
      return JSON.stringify([event.event, event.name, event.why, event.address])
    case 'source-unavailable':
      return JSON.stringify([event.event, event.source])
    default:
      return undefined
  }
}

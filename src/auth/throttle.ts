import { createHmac } from 'node:crypto'
import type { Catalog } from '../catalog/catalog.js'
import type { Clock } from '../core/clock.js'
import { Failure } from '../core/failure.js'
import { networkOf } from '../core/network.js'

/** Slows whoever guesses passwords: a name from its 10th failure within five minutes, an address from its 50th. */
export interface Throttle {
  /**
   * To be called before anything costly is done for a credential that can be guessed. Throws `throttled` with the seconds
   * to wait. Then exactly one of the attempt's methods must be called. `key` stands for the credential: attempts with one
   * and the same that run at once count as one.
   */
  enter(attempt: { readonly name: string; readonly address?: string; readonly key: string }): Promise<Attempt>
}

export interface Attempt {
  /** The credential was wrong. */
  failed(): Promise<void>
  /** It was right, or nothing could be said of it. */
  passed(): void
}

export interface ThrottleOptions {
  readonly catalog: Catalog
  readonly clock: Clock
  /** Names and addresses are kept under their HMAC only: a password typed into the wrong field is a name too. */
  readonly secret: Uint8Array
}

export const failuresPerName = 10
export const failuresPerAddress = 50
const windowMilliseconds = 5 * 60 * 1000
const longestWaitSeconds = 300
const countGroup = 'login-failures'
const waitGroup = 'login-waits'

interface Subject {
  readonly key: string
  readonly limit: number
}

/** The last wait that was imposed. Remembered for five minutes after its end: a failure within these makes the next twice as long. */
interface Wait {
  /** Milliseconds since the epoch. */
  readonly until: number
  readonly seconds: number
}

/** Counts in the catalog, so that a restart or another instance forgets nothing. Successes reset nothing: a window ends by itself. */
export function createThrottle({ catalog, clock, secret }: ThrottleOptions): Throttle {
  /** By subject: the credentials that are being checked, in the order in which they came, and how often each. */
  const running = new Map<string, Map<string, number>>()

  const seal = (kind: string, text: string): string =>
    createHmac('sha256', secret).update(`${kind}:${text}`).digest('base64url')

  function subjectsOf(name: string, address: string | undefined): readonly Subject[] {
    const byName = { key: seal('login-name', name.normalize('NFC')), limit: failuresPerName }
    if (address === undefined) return [byName]
    return [byName, { key: seal('login-address', networkOf(address)), limit: failuresPerAddress }]
  }

  function begin(subjects: readonly Subject[], key: string): void {
    for (const subject of subjects) {
      const credentials = running.get(subject.key) ?? new Map<string, number>()
      credentials.set(key, (credentials.get(key) ?? 0) + 1)
      running.set(subject.key, credentials)
    }
  }

  /** `alone`: no other attempt with this credential goes on. */
  function end(subjects: readonly Subject[], key: string): { readonly alone: boolean } {
    let alone = true
    for (const subject of subjects) {
      const credentials = running.get(subject.key)
      const left = (credentials?.get(key) ?? 1) - 1
      if (left > 0) {
        credentials?.set(key, left)
        alone = false
      } else {
        credentials?.delete(key)
        if (credentials?.size === 0) running.delete(subject.key)
      }
    }
    return { alone }
  }

  async function refuseWaiting(subject: Subject, key: string): Promise<void> {
    const wait = await readWait(subject.key)
    if (wait && wait.until > clock.now()) throw throttled((wait.until - clock.now()) / 1000)
    const ahead = [...(running.get(subject.key)?.keys() ?? [])].indexOf(key)
    // Many at once must not get past a limit that each of them alone has not reached.
    if (ahead <= 0) return
    const failures = await catalog.add(countGroup, subject.key, 0, new Date(clock.now() + windowMilliseconds))
    if (failures + ahead >= subject.limit) throw throttled(1)
  }

  async function readWait(key: string): Promise<Wait | undefined> {
    const item = await catalog.get(waitGroup, key)
    return item && (JSON.parse(Buffer.from(item.value).toString()) as Wait)
  }

  async function count({ key, limit }: Subject): Promise<void> {
    const failures = await catalog.add(countGroup, key, 1, new Date(clock.now() + windowMilliseconds))
    const before = await readWait(key)
    if (failures < limit && !before) return
    const seconds = before ? Math.min(before.seconds * 2, longestWaitSeconds) : 1
    const wait: Wait = { until: clock.now() + seconds * 1000, seconds }
    const value = Buffer.from(JSON.stringify(wait))
    await catalog.swap(waitGroup, key, value, 'any', new Date(wait.until + windowMilliseconds))
  }

  return {
    async enter({ name, address, key }) {
      const subjects = subjectsOf(name, address)
      begin(subjects, key)
      try {
        for (const subject of subjects) await refuseWaiting(subject, key)
      } catch (error) {
        end(subjects, key)
        throw error
      }
      return {
        failed: async () => {
          const { alone } = end(subjects, key)
          if (alone) await Promise.all(subjects.map(count))
        },
        passed: () => void end(subjects, key),
      }
    },
  }
}

function throttled(seconds: number): Failure {
  return new Failure('throttled', 'Too many failed logins. Try again later.', {
    retryAfterSeconds: Math.min(Math.max(Math.ceil(seconds), 1), longestWaitSeconds),
  })
}

import type { WorkerMount, PrivsepSettings } from '../settings.js'
import type { Head } from '../wire/link.js'
import type { ProcessUser } from './spawn.js'

/** All that the broker is told when it begins. */
export interface BrokerOptions {
  readonly settings: PrivsepSettings
  /**
   * What users' processes serve; a process names each by its place here. `{user}` and a leading `{home}` in a directory stand
   * for the account's.
   */
  readonly mounts: readonly WorkerMount[]
  /** Program and arguments; for every process that is started of it. */
  readonly workerCommand: readonly string[]
  readonly pamHelperCommand: readonly string[]
  /** Called at every start: what the process on the network is run with. */
  readonly front: () => ProcessPlan
  /** The same for the process that holds all sources of identities. */
  readonly auth: () => ProcessPlan
  /** Called once, before anything is started: to make folders for these users, and give them what is theirs. */
  readonly prepare?: (users: ServerUsers) => void | Promise<void>
  /** Files and folders of the program: users must not be able to change them, and workers must be able to read them. */
  readonly program: readonly string[]
  /** For every process: `TZ`, `LANG`, and what a plan adds. */
  readonly environment: Readonly<Record<string, string>>
  readonly log: BrokerLog
  /** Gets every privileged request. */
  readonly audit: (line: AuditLine) => void
}

export interface ProcessPlan {
  readonly command: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  /** Its descriptors from 3 on, such as sockets that listen. */
  readonly descriptors?: readonly number[]
  /** Called once it has been started with them, or could not be. */
  readonly onStarted?: () => void
}

export interface ServerUsers {
  readonly front: ProcessUser
  readonly auth: ProcessUser
}

export interface BrokerLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** A privileged request: never with a secret in it. */
export interface AuditLine {
  readonly what: 'account' | 'worker' | 'worker-end' | 'pam-helper' | 'session-close' | 'process' | 'violation'
  readonly result: 'done' | 'refused' | 'failed'
  /** The Unix user. */
  readonly user?: string
  readonly uid?: number
  /** The process of the front, by number, that has asked. */
  readonly front?: number
  readonly pid?: number
  readonly worker?: number
  readonly helper?: number
  readonly why?: string
}

export interface MadeAdmin {
  readonly name: string
  readonly grants: readonly string[]
  readonly password: string | undefined
}

export interface MadeCertificate {
  /** Where it lies. */
  readonly file: string
  /** SHA-256, colon-separated upper-case hex. */
  readonly fingerprint: string
}

/** A broker at work: `postern serve --privsep` after its start. */
export interface Broker {
  /** What the front said when it began to listen. */
  readonly addresses: readonly string[]
  /** That the front has made, where it has; what it says of it. */
  readonly certificate: MadeCertificate | undefined
  /** Whom the process of identities has made, where there was nobody; the password where it is to be shown. */
  readonly admin: MadeAdmin | undefined
  readonly users: ServerUsers
  /**
   * Hands new settings to the process of identities, then to the front: message `apply`, with a head for each. Rejects with
   * what they say against it; the front is asked only when the other has taken it.
   */
  apply(heads: { readonly auth: Head; readonly front: Head }): Promise<void>
  /** The front ends what it does, then everybody goes; resolves when nobody is left. */
  stop(): Promise<void>
}

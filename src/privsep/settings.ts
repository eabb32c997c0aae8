/** How the server and its users' processes are kept apart, understood: names are as they were written, paths absolute. */
export interface PrivsepSettings {
  /** Whose user the process on the network is; `postern`, else `nobody`, without it. */
  readonly user?: string | undefined
  /** Whose user the process is that holds all sources of identities; `postern-auth`, else a number that no account has. */
  readonly authUser?: string | undefined
  /** Where locks, properties and uploads are kept. */
  readonly records: string
  /** Sockets between the processes. */
  readonly runtime: string
  /** Nobody acts as a user outside of these, nor as one of the group 0. */
  readonly minimumUid: number
  readonly maximumUid: number
  /** Where not empty, a user must be a member of one. */
  readonly allowedGroups: readonly string[]
  /** Of what users make, such as 0o002. */
  readonly umask: number
  /** For so long after a login the process on the network may act for its user. */
  readonly ticketSeconds: number
  readonly workers: WorkerLimits
}

/** What the process on the network is told of the others. */
export interface FrontSettings {
  readonly runtime: string
  /** A process of a user without work for so long is let go. */
  readonly idleSeconds: number
}

export interface WorkerLimits {
  /** Processes of users, at most. */
  readonly max: number
  /** One without work for so long ends. */
  readonly idleSeconds: number
  /** One that holds more in memory is ended. */
  readonly memoryBytes: number
}

/** What a process of a user serves: the directories of its mounts, and the rules for what it makes. */
export interface WorkerSettings {
  readonly user: string
  readonly uid: number
  /** Of its tickets, in base64. */
  readonly key: string
  readonly generation: string
  readonly umask: number
  /** Absolute; undefined where the account has none. */
  readonly home: string | undefined
  readonly mounts: readonly WorkerMount[]
  /** The one before has not ended in order: what it left behind is swept. */
  readonly sweeps: boolean
}

export interface WorkerMount {
  /** Absolute. */
  readonly directory: string
  readonly durability: 'full' | 'fast'
  readonly symlinks: 'absent' | 'inside'
}

import { Failure, isFailure } from '../../core/failure.js'
import type { Peer, RemoteMount } from '../remote-store/peer.js'
import { RemoteNotes } from '../remote-store/notes.js'
import type { Notes } from '../../store/local/notes.js'
import { claimOf } from '../ticket.js'
import { connectWorker } from '../unix-worker.js'
import type { ConnectOptions, UnixWorker } from '../unix-worker.js'
import type { Link } from '../wire/link.js'
import type { KeptTickets } from './ticket-book.js'

export interface UnixUsersOptions extends Pick<ConnectOptions, 'passing'> {
  readonly broker: Pick<Link, 'ask'>
  readonly book: KeptTickets
  /** How many mounts their processes serve. */
  readonly mounts: number
  /** Where notes about files of a user are kept. */
  readonly notesOf: (uid: number) => Notes
  /** A process without work for so long is let go. */
  readonly idleMilliseconds: number
  /** A user's ticket is worth nothing any more, whatever it says. */
  readonly onRefused: (user: UnixUser) => void
  /** A process has come up for the user. */
  readonly onUp: (user: UnixUser) => void
  readonly log: UsersLog
}

export interface UsersLog {
  info(facts: object, message: string): void
  warn(facts: object, message: string): void
  error(facts: object, message: string): void
}

/** Somebody whose files a process of their own works on. */
export interface UnixUser {
  /** As the system writes it. */
  readonly name: string
  readonly uid: number
  /** By the numbers of the mounts. */
  readonly mounts: readonly RemoteMount[]
}

/** Whom tickets are of, each with a process that comes when it is needed, and goes. */
interface Kept extends UnixUser {
  readonly notes: readonly RemoteNotes[]
  starting?: Promise<UnixWorker> | undefined
  worker?: UnixWorker | undefined
}

const startMilliseconds = 30_000
const looksPerIdleTime = 4
/** Where there are too many processes, those go that have had nothing to do for so long. */
const shedMilliseconds = 1000

/** The Unix users whom this process acts for, through their processes. */
export class UnixUsers {
  readonly #options: UnixUsersOptions
  readonly #users = new Map<string, Kept>()
  readonly #watch: NodeJS.Timeout
  #isClosed = false

  constructor(options: UnixUsersOptions) {
    this.#options = options
    const { idleMilliseconds } = options
    this.#watch = setInterval(() => this.#letGo(idleMilliseconds), idleMilliseconds / looksPerIdleTime).unref()
  }

  /** Throws `unavailable` where there is no ticket for the user. */
  of(name: string): UnixUser {
    const known = this.#users.get(name)
    if (known !== undefined) return known
    const uid = claimOf(this.#ticketOf(name))?.uid
    if (uid === undefined) throw loginIsOver()
    const { mounts, notesOf } = this.#options
    const notes = Array.from({ length: mounts }, () => new RemoteNotes(notesOf(uid)))
    const user: Kept = {
      name,
      uid,
      notes,
      mounts: notes.map((own, mount) => ({ mount, notes: own, connect: () => this.#connect(user) })),
    }
    this.#users.set(name, user)
    return user
  }

  /** Ends what is done for a user; gives whom it was kept for. */
  drop(uid: number): readonly string[] {
    const gone = [...this.#users.values()].filter((user) => user.uid === uid)
    for (const user of gone) {
      this.#users.delete(user.name)
      user.worker?.close()
    }
    return gone.map(({ name }) => name)
  }

  /** Lets those go that have nothing to do: others wait for a place. */
  shed(): void {
    this.#letGo(shedMilliseconds)
  }

  /** Those with a process. */
  active(): readonly UnixUser[] {
    return [...this.#users.values()].filter(({ worker }) => worker !== undefined)
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#watch)
    for (const { worker } of this.#users.values()) worker?.close()
  }

  #ticketOf(name: string): string {
    const ticket = this.#options.book.ticketOf(name)?.ticket
    if (ticket === undefined) throw loginIsOver()
    return ticket
  }

  #connect(user: Kept): Peer | Promise<Peer> {
    if (this.#isClosed) throw new Failure('unavailable', 'The server stops.', { retryAfterSeconds: 5 })
    if (user.worker !== undefined) return user.worker
    return (user.starting ??= this.#start(user).catch((error: unknown) => {
      user.starting = undefined
      throw error
    }))
  }

  async #start(user: Kept): Promise<UnixWorker> {
    const { broker, book, passing, log, onUp } = this.#options
    const { path, id } = await this.#askFor(user)
    const worker = await connectWorker(path, {
      ticket: () => book.ticketOf(user.name)?.ticket,
      notesOf: (mount) => user.notes[mount],
      kill: (why) => {
        log.error({ user: user.name, why }, 'the process of a user is ended')
        broker.ask('hung', { worker: id }).catch(() => undefined)
      },
      onFault: (err, name) => log.error({ err, user: user.name, name }, 'a process of a user could not be answered'),
      ...(passing && { passing }),
    })
    user.worker = worker
    void worker.closed.then(({ how, why }) => {
      if (user.worker === worker) this.#forget(user)
      if (how === 'gone') log.warn({ user: user.name, why }, 'the process of a user has ended')
    })
    onUp(user)
    return worker
  }

  async #askFor(user: Kept): Promise<{ readonly path: string; readonly id: number }> {
    const { broker, onRefused } = this.#options
    try {
      const { head } = await broker.ask(
        'worker',
        { ticket: this.#ticketOf(user.name) },
        { timeoutMilliseconds: startMilliseconds },
      )
      // The broker is to be believed.
      return { path: String(head['path']), id: Number(head['worker']) }
    } catch (error) {
      if (!isFailure(error, 'denied')) throw error
      onRefused(user)
      throw loginIsOver()
    }
  }

  #letGo(idleMilliseconds: number): void {
    for (const user of this.#users.values())
      if (user.worker !== undefined && user.worker.idleMilliseconds >= idleMilliseconds) {
        const { worker } = user
        // Whoever comes now starts another.
        this.#forget(user)
        worker.close()
      }
  }

  #forget(user: Kept): void {
    user.worker = undefined
    user.starting = undefined
  }
}

function loginIsOver(): Failure {
  return new Failure('unavailable', 'The login is over; try again.', { retryAfterSeconds: 1 })
}

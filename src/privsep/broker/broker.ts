import { readFileSync } from 'node:fs'
import { Failure } from '../../core/failure.js'
import { systemClock } from '../../core/clock.js'
import { missingPowers } from '../powers.js'
import type { Head, Link } from '../wire/link.js'
import { AccountProcess } from './accounts.js'
import { authTable } from './auth-door.js'
import { alreadyThere } from './claim.js'
import { controlTable, openControl } from './control.js'
import { openDoor } from './door.js'
import type { Door } from './door.js'
import { frontTable } from './front-door.js'
import { closeInherited } from './inherited.js'
import type { Broker, BrokerOptions, MadeAdmin, MadeCertificate, ProcessPlan, ServerUsers } from './options.js'
import { PamHelpers } from './pam-helpers.js'
import { checkProgram } from './program-folder.js'
import { brokerSocket, makeRuntimeDirectory, removeRuntimeDirectory, runtimePlaces } from './runtime-directory.js'
import type { OwnRuntime, RuntimePlaces } from './runtime-directory.js'
import { findServerUsers } from './server-users.js'
import { setprivPath, spawnAs } from './spawn.js'
import type { ProcessUser, Spawned } from './spawn.js'
import { Supervised } from './supervised.js'
import { UserBook } from './user-book.js'
import { WorkerTable } from './workers.js'

const lookUpMilliseconds = 10_000
/** What the account of this name has everywhere. */
const nobody = 65_534
/** More would only wait for PAM. */
const mostPamHelpers = 32
/** Processes of the front; and while one process of identities ends, the next begins. */
const mostFronts = 128
const mostAuths = 4
const startMilliseconds = 60_000
const applyMilliseconds = 60_000
/** For what is being transferred. */
const frontStopMilliseconds = 30_000
const authStopMilliseconds = 10_000
const askStopMilliseconds = 2000

/**
 * Starts all processes of a server whose users are kept apart, and gives each only what it may have. This process must be
 * root's. Resolves when the front listens. Throws `unsupported` and `invalid` with what is wrong and what to do about it,
 * `conflict` where a server uses the runtime directory already, and `unavailable`; nothing is left running then.
 */
export async function openBroker(options: BrokerOptions): Promise<Broker> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Failure('unsupported', 'To act as Unix users, Postern must be started by root, on Linux.')
  checkPowers()
  checkProgram([...options.program, setprivPath()])
  closeInherited()
  const { log, settings, pamHelperCommand, prepare } = options
  const accounts = new AccountProcess({
    command: pamHelperCommand,
    timeoutMilliseconds: lookUpMilliseconds,
    warn: (facts, text) => log.warn(facts, text),
  })
  try {
    const users = await findServerUsers(settings, accounts)
    if (settings.user === undefined && users.front.uid === nobody)
      log.warn(
        { user: 'nobody' },
        'what talks to the network is a user who other programs may be too: make one named postern',
      )
    await refuseSecond(settings.runtime)
    const runtime = makeRuntimeDirectory(settings.runtime, users)
    try {
      await prepare?.(users)
    } catch (error) {
      removeRuntimeDirectory(runtime.places)
      runtime.release()
      throw error
    }
    const broker = new RunningBroker(options, users, runtime, accounts)
    try {
      await broker.begin()
      return broker
    } catch (error) {
      await broker.stop()
      throw error
    }
  } catch (error) {
    await accounts.close()
    throw error
  }
}

/** A process of the front that has connected. */
interface FrontGuest {
  readonly id: number
  isClosed: boolean
  link: Link | undefined
}

class RunningBroker implements Broker {
  readonly users: ServerUsers
  addresses: readonly string[] = []
  certificate: MadeCertificate | undefined
  admin: MadeAdmin | undefined
  readonly #options: BrokerOptions
  readonly #places: RuntimePlaces
  readonly #release: () => void
  readonly #accounts: AccountProcess
  readonly #book: UserBook
  readonly #workers: WorkerTable
  readonly #helpers: PamHelpers
  readonly #front: Supervised
  readonly #auth: Supervised
  readonly #fronts = new Set<FrontGuest>()
  readonly #doors: Door[] = []
  /** Of the front's first process, which speaks for all of them. */
  #main: Link | undefined
  #authLink: Link | undefined
  #lastFront = 0
  #authReady = deferred<MadeAdmin | undefined>()
  #frontReady = deferred<readonly string[]>()

  constructor(options: BrokerOptions, users: ServerUsers, runtime: OwnRuntime, accounts: AccountProcess) {
    const { settings, mounts, workerCommand, pamHelperCommand, environment, log, audit } = options
    this.users = users
    this.#options = options
    this.#places = runtime.places
    this.#release = runtime.release
    this.#accounts = accounts
    const { minimumUid, maximumUid, allowedGroups, ticketSeconds, umask, workers: limits } = settings
    const { front, auth } = users
    const reservedUids = [front.uid, auth.uid]
    const reservedGids = [front.gid, auth.gid]
    const clock = systemClock
    this.#book = new UserBook({
      accounts,
      rules: { minimumUid, maximumUid, allowedGroups, reservedUids, reservedGids },
      onVoid: ({ name, uid }, why) => this.#void(name, uid, why),
      clock,
      ticketSeconds,
    })
    this.#workers = new WorkerTable({
      ...{ limits, umask, mounts, command: workerCommand, environment, clock, log, audit },
      folder: this.#places.front,
      owner: front,
      users: this.#book,
      shed: () => this.#tellFronts('shed', {}),
    })
    this.#helpers = new PamHelpers({
      ...{ command: pamHelperCommand, most: mostPamHelpers, folder: this.#places.auth, owner: auth, audit },
    })
    this.#front = new Supervised('front', () => this.#spawn(front, options.front(), 'front'), log)
    this.#auth = new Supervised('auth', () => this.#spawn(auth, options.auth(), 'auth'), log)
  }

  async begin(): Promise<void> {
    const { front, auth, control } = this.#places
    const { log } = this.#options
    const root = { uid: 0, gid: 0 }
    const close = async (user: string): Promise<number> => {
      // Their processes end by this; those are counted that there were.
      const count = this.#workers.list().filter((worker) => worker.user === user).length
      const isKnown = this.#book.void(user, 'closed-by-root')
      await this.#workers.endUser(user, 'closed-by-root')
      this.#options.audit({ what: 'session-close', result: isKnown ? 'done' : 'failed', user })
      return count
    }
    const list = (): ReturnType<WorkerTable['list']> => this.#workers.list()
    this.#doors.push(
      await openDoor({
        ...{ path: brokerSocket(auth), owner: this.users.auth, mostLinks: mostAuths, log },
        greet: (broken) => this.#greetAuth(broken),
      }),
      await openDoor({
        ...{ path: brokerSocket(front), owner: this.users.front, mostLinks: mostFronts, log },
        greet: (broken) => this.#greetFront(broken),
      }),
      await openDoor({
        ...{ path: control, owner: root, mostLinks: 16, log },
        greet: (onBroken) => ({ table: controlTable({ list, close, onBroken }), onClose: () => undefined }),
      }),
    )
    this.admin = await within(this.#authReady, this.#auth.start(), 'The process of identities')
    this.addresses = await within(this.#frontReady, this.#front.start(), 'The process on the network')
  }

  async apply({ auth, front }: { readonly auth: Head; readonly front: Head }): Promise<void> {
    const asked = { timeoutMilliseconds: applyMilliseconds }
    if (this.#authLink === undefined || this.#main === undefined)
      throw new Failure('unavailable', 'The server is starting again; try again shortly.', { retryAfterSeconds: 1 })
    await this.#authLink.ask('apply', auth, asked)
    await this.#main.ask('apply', front, asked)
  }

  async stop(): Promise<void> {
    const ended = this.#front.stop(frontStopMilliseconds)
    if (this.#main === undefined) this.#front.terminate()
    else
      await this.#main
        .ask('stop', {}, { timeoutMilliseconds: askStopMilliseconds })
        .catch(() => this.#front.terminate())
    await ended
    await this.#workers.close()
    const authEnded = this.#auth.stop(authStopMilliseconds)
    if (this.#authLink === undefined) this.#auth.terminate()
    else this.#authLink.tell('stop', {})
    await authEnded
    await this.#helpers.endAll()
    await this.#accounts.close()
    for (const door of this.#doors) await door.close()
    removeRuntimeDirectory(this.#places)
    this.#release()
  }

  #greetAuth(onBroken: (why: string) => void): ReturnType<Parameters<typeof openDoor>[0]['greet']> {
    const { audit } = this.#options
    let own: Link | undefined
    return {
      table: authTable({
        users: this.#book,
        helpers: this.#helpers,
        onReady: (admin) => this.#authReady.resolve(admin),
        onFailed: (problem) => this.#complained(this.#authReady, 'auth', problem),
        onBroken,
        audit,
      }),
      onOpen: (link) => {
        own = link
        this.#authLink = link
      },
      onClose: (why) => {
        if (this.#authLink === own) this.#authLink = undefined
        void this.#helpers.endAll()
        if (why !== undefined) audit({ what: 'violation', result: 'refused', why: `auth: ${why}` })
      },
    }
  }

  #greetFront(onBroken: (why: string) => void): ReturnType<Parameters<typeof openDoor>[0]['greet']> {
    const { audit } = this.#options
    const guest: FrontGuest = { id: (this.#lastFront += 1), isClosed: false, link: undefined }
    return {
      table: frontTable(guest, {
        users: this.#book,
        workers: this.#workers,
        onListening: (addresses, certificate) => {
          this.#main = guest.link
          this.certificate = certificate
          this.#frontReady.resolve(addresses)
        },
        onFailed: (problem) => this.#complained(this.#frontReady, 'front', problem),
        onBroken,
        audit,
      }),
      onOpen: (link) => {
        guest.link = link
        this.#fronts.add(guest)
      },
      onClose: (why) => {
        guest.isClosed = true
        this.#fronts.delete(guest)
        if (this.#main === guest.link) this.#main = undefined
        this.#workers.endFront(guest)
        if (why !== undefined) audit({ what: 'violation', result: 'refused', front: guest.id, why })
      },
    }
  }

  #complained(start: Pick<Deferred<never>, 'reject'>, name: string, problem: string): void {
    if (!start.reject(new Failure('invalid', problem)))
      this.#options.log.error({ process: name, problem }, 'a process of the server cannot work')
  }

  /** Whoever has tickets of a user must learn of it before new ones are made. */
  #void(user: string, uid: number, why: string): void {
    this.#authLink?.tell('closed', { user, uid })
    this.#tellFronts('closed', { user, uid })
    void this.#workers.endUser(user, why)
  }

  #tellFronts(name: string, head: Head): void {
    for (const { link } of this.#fronts) link?.tell(name, head)
  }

  #spawn(user: ProcessUser, plan: ProcessPlan, name: string): Spawned {
    const { environment, audit } = this.#options
    const { onStarted, ...options } = plan
    let spawned: Spawned
    try {
      spawned = spawnAs(user, { ...options, environment: { ...environment, ...plan.environment } })
    } finally {
      onStarted?.()
    }
    audit({
      what: 'process',
      result: 'done',
      user: name,
      uid: user.uid,
      ...(spawned.pid !== undefined && { pid: spawned.pid }),
    })
    return spawned
  }
}

/** Without CAP_SETPCAP, setpriv(1) says nothing, and leaves processes of users what they could gain. */
function checkPowers(): void {
  const missing = missingPowers(readFileSync('/proc/self/status', 'utf8'))
  if (missing.length === 0) return
  throw new Failure(
    'unsupported',
    `Root may not do here what Postern needs to act as Unix users: ${missing.join(', ')}. Start it with these capabilities, as deploy/systemd/postern-privsep.service does.`,
  )
}

async function refuseSecond(runtime: string): Promise<void> {
  const { control, directory } = runtimePlaces(runtime)
  const other = await openControl(control).catch(() => undefined)
  if (other === undefined) return
  other.end()
  throw alreadyThere(directory, 'runtime directory')
}

/** Something that is yet to come; the first word about it counts. */
interface Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  /** False where it came before. */
  readonly reject: (error: unknown) => boolean
}

function deferred<T>(): Deferred<T> {
  let isSettled = false
  let [accept, refuse]: [(value: T) => void, (error: unknown) => void] = [() => undefined, () => undefined]
  const promise = new Promise<T>((resolve, reject) => ([accept, refuse] = [resolve, reject]))
  promise.catch(() => undefined)
  return {
    promise,
    resolve(value) {
      isSettled = true
      accept(value)
    },
    reject(error) {
      if (isSettled) return false
      isSettled = true
      refuse(error)
      return true
    },
  }
}

async function within<T>(ready: Deferred<T>, { gone }: Spawned, name: string): Promise<T> {
  const timer = setTimeout(
    () => ready.reject(new Failure('unavailable', `${name} was not ready in time.`)),
    startMilliseconds,
  )
  void gone.then(({ error, signal, code }) => {
    const how = error?.message ?? signal ?? `exit code ${code ?? 'unknown'}`
    ready.reject(new Failure('unavailable', `${name} ended before it was ready (${how}).`))
  })
  try {
    return await ready.promise
  } finally {
    clearTimeout(timer)
  }
}
